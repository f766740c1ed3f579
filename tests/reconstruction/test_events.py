"""Blocks of events: what those say that can't be reconstructed, and in which half of the showers each is looked up."""

import numpy as np
import pytest

from image_extractor import config
from image_extractor.analysis.open_events import open_events
from image_extractor.cuts.preselection import ENERGY, preselection_cuts, select
from image_extractor.reconstruction.events import fill, looked_up, reconstructed
from image_extractor.reconstruction.lookup_tables import ALL, INPUT, LookupTables

SETTINGS = {"reconstruction_telescopes": "MST", "reconstruction_min_entries": 1, "reconstruction_widen": 8}


@pytest.fixture(scope="module")
def block(ctapipe_events):
    """Events with few telescopes, and tables filled with them."""
    settings = config.from_keywords(SETTINGS)
    ((run, (block,)),) = [(run, list(run)) for run in open_events(ctapipe_events.hdf5, settings).runs()]
    found, tables = reconstructed(block, settings["reconstruction"]), LookupTables(run.recipe())
    fill(tables, found, "run7")
    return found, tables


def test_events_of_fewer_than_two_images_pass_no_cut(block):
    found, tables = block
    branches, counts = looked_up(tables.reader(1, 8), found)
    few = found.n_images < 2
    assert 0 < few.sum() == counts.events_without < len(few)
    for name in ("MSCW", "MSCL", "ErecS", "EChi2S", "dES", "EmissionHeight"):
        assert (branches[name][few] == -99).all(), name
    assert (branches["MSCW"][~few] > -99).any()
    of_few = {name: column[few] for name, column in branches.items()} | {ENERGY: branches["ErecS"][few]}
    bins = config.dictionary_bins(config.defaults())
    for cut in preselection_cuts(config.defaults()):
        rows, flow = select(of_few, [cut], bins)
        assert not len(rows)
        assert flow.after[cut.name] == (few.sum() if cut.name == "MC_Offset" else 0), cut.name
        assert flow.outside == flow.after[cut.name]


def test_uses_of_a_shower_are_in_one_half(block):
    """Uses 0 to 19 of a shower fill the same half, and are looked up in the other; those of other runs in both."""
    _, tables = block
    uses = np.array([100 * shower + use for shower in range(1, 7) for use in range(20)])
    own = LookupTables(tables.recipe, inputs=np.array([("gamma_run7.h5", "0", 7, 120, 0)], INPUT))
    rng = np.random.default_rng(0)
    half = (uses // 100) % 2
    values = {"width": rng.uniform(0.1, 0.2, 120), "length": rng.uniform(0.2, 0.3, 120), "energy": np.full(120, -3.0)}
    own.fill("A", np.full(120, 100.0), np.full(120, 50.0), values, half, np.ones(120, int))
    reader = own.reader(1, 0)
    part = reader.parts(np.zeros(120), np.full(120, 7), uses)
    assert (part == 1 - half).all()
    for which in (0, 1):
        rows = own.histograms["A"]["width"]
        entries = reader.cells("A", "width", which).entries
        assert entries.sum() == 60 == rows["entries"][rows["half"] == which].sum()
    assert (reader.parts(np.zeros(120), np.full(120, 8), uses) == ALL).all()
