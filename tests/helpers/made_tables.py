"""Lookup tables of made-up images."""

import numpy as np

from image_extractor.reconstruction import table_files
from image_extractor.reconstruction.lookup_tables import INPUT, LookupTables
from image_extractor.reconstruction.recipe import Recipe

#: Settings that suit the little noise of demo files, and tables of few images.
RECONSTRUCTION = """
[cleaning]
picture = 4
boundary = 2
[reconstruction]
max_loss = 1, 1
min_entries = 2
widen = 8
"""

#: The same, with cuts that nearly all events pass.
LOOKUP_CONFIG = (
    RECONSTRUCTION
    + """[preselection_cuts]
MSCW = -50, 50
MSCL = -50, 50
NImages = 2, None
[energy_bins]
min = -2
max = 3
bin_size = 5
"""
)

NAMES = ["LST_LST_LSTCam", "MST_MST_NectarCam"]
COMMON = {
    "focal_length_choice": "EFFECTIVE",
    "pointing_az": 180.0,
    "pointing_alt": 70.0,
    "telescopes": "ALL",
    "min_size": 50.0,
    "min_pixels": 5,
    "max_loss": "0.1, 0.2",
    "spectral_index": -2.0,
}
FACTS = {
    "picture": 4.0,
    "boundary": 2.0,
    "neighbours": 2,
    "extractor": "NeighborPeakWindowSum",
    "focal_length": 29.3,
    "mirror_area": 106.241,
}


def made_recipe(**changes):
    """Return a recipe with some common facts, or those of telescopes, changed."""
    facts = FACTS | {name: changes.pop(name) for name in FACTS if name in changes}
    return Recipe(COMMON | changes, {name: dict(facts) for name in NAMES})


def made_images(rng, n):
    """Return columns of images that are spread over few cells: size, distance, values, half, weight."""
    size = 10 ** rng.uniform(1.8, 2.8, n)
    distance = rng.uniform(-20, 260, n)
    values = {
        "width": rng.normal(0.1, 0.02, n),
        "length": rng.normal(0.3, 0.1, n),
        "energy": rng.normal(-3, 0.2, n),
    }
    return size, distance, values, rng.integers(0, 2, n), rng.integers(1, 2**22, n)


def made_tables(seed=0, n=400, run=1, **changes):
    """Return tables of one run, filled with n images for each kind of telescope."""
    rng = np.random.default_rng(seed)
    inputs = np.array([(f"gamma_run{run}.simtel.gz", f"{run:064d}", run, 100, 2 * n)], INPUT)
    found = LookupTables(made_recipe(**changes), inputs=inputs)
    for name in NAMES:
        found.fill(name, *made_images(rng, n))
    return found


def content_of_tables(path):
    """Return what tables hold but for when and by which command they were made."""
    found = table_files.load(path)
    rows = {(name, q): rows.tolist() for name, of in found.histograms.items() for q, rows in of.items()}
    return rows, found.inputs.tolist(), found.recipe
