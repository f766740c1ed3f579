"""A small dataset made without simtel files, and helpers for the tests of what looks at datasets."""

import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import astropy.units as u
import numpy as np
from ctapipe.image import tailcuts_clean
from ctapipe.instrument import CameraGeometry

from image_extractor import config
from image_extractor.batch import merge
from image_extractor.conversion import part_writer
from image_extractor.conversion.array_layout import ArrayLayout
from image_extractor.hdf5 import schema
from image_extractor.hdf5.replacing import replacing
from image_extractor.hdf5.schema import COUNTED_TYPES, REASONS
from image_extractor.mapping import images


def hexagonal_camera(rings=4, pitch=0.05, turn=19.0):
    """Return the geometry of a hexagonal camera whose rows are turned by an angle [deg]."""
    q, r = (axis.ravel() for axis in np.meshgrid(np.arange(-rings, rings + 1), np.arange(-rings, rings + 1)))
    inside = np.abs(q + r) <= rings
    x, y = pitch * (q + r / 2)[inside], pitch * (np.sqrt(3) / 2 * r)[inside]
    cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    return _geometry("HexCam", x * cos - y * sin, x * sin + y * cos, pitch**2 * np.sqrt(3) / 2, "hexagon", turn)


def square_camera(side=6, pitch=0.01):
    """Return the geometry of a square camera without its corners."""
    x, y = (axis.ravel() for axis in np.meshgrid(np.arange(side), np.arange(side)))
    corner = np.isin(x, (0, side - 1)) & np.isin(y, (0, side - 1))
    return _geometry("SquareCam", pitch * x[~corner], pitch * y[~corner], pitch**2, "square", 0.0)


def _geometry(name, x, y, area, shape, turn):
    return CameraGeometry(
        name=name,
        pix_id=np.arange(len(x)),
        pix_x=x * u.m,
        pix_y=y * u.m,
        pix_area=np.full(len(x), area) * u.m**2,
        pix_type=shape,
        pix_rotation=turn * u.deg,
        cam_rotation=0 * u.deg,
    )


TELESCOPES = {1: ("LST", hexagonal_camera()), 2: ("LST", hexagonal_camera()), 7: ("SST", square_camera())}


def layout(settings):
    """Return an ArrayLayout of two LSTs and an SST."""
    table = np.zeros(len(TELESCOPES), schema.dtype(schema.TEL_COLUMNS))
    table["cleaning_picture"] = table["cleaning_boundary"] = np.nan
    grids, cameras = {}, {}
    for row, (tel_id, (tel_type, geometry)) in zip(table, TELESCOPES.items(), strict=True):
        grid = grids[tel_id] = images.pixel_grid(geometry, settings["image"]["mapping"])
        row["tel_id"], row["tel_type"], row["camera"] = tel_id, tel_type, geometry.name
        row["n_pixels"] = geometry.n_pixels
        pixels = np.zeros(geometry.n_pixels, schema.dtype(schema.CAMERA_COLUMNS))
        pixels["pixel_id"], pixels["array_x"], pixels["array_y"] = geometry.pix_id, grid.array_x, grid.array_y
        pixels["pix_x"], pixels["pix_y"] = geometry.pix_x.to_value("m"), geometry.pix_y.to_value("m")
        pixels["pix_area"] = geometry.pix_area.to_value("m2")
        cameras[geometry.name] = (
            pixels,
            {
                "camera_name": geometry.name,
                "pixel_shape": geometry.pix_type.value,
                "pix_rotation_deg": geometry.pix_rotation.to_value("deg"),
                "mapping": settings["image"]["mapping"],
                "array_shape": np.array(grid.shape, np.int32),
                "axis_0_angle_deg": math.degrees(grid.angle),
                **grid.attributes(),
            },
        )
    types = {"LST": [1, 2], "SST": [7]}
    return ArrayLayout(types, grids, table, cameras)


@dataclass
class MadeEvent:
    """The truth of an event in a made dataset: its pixels are what was put in."""

    run: int
    event: int
    primary: int
    energy: float
    pixels: dict


#: Counts of Run_Table of what was passed over, in each run that is observed.
PASSED_OVER = [3 if name == "flatfield" else 2 if name == "muon" else 0 for name in schema.EVENT_TYPES]

#: Trigger time of the first event of a made dataset that is observed [ns], and from one event to the next.
FIRST_TIME, TIME_STEP = 1_483_228_836_123_456_789, 1_000_000_001


def write_dataset(path, n_events=(12, 8), dictionary=False, seed=None, split=None, observed=False, **settings):
    """Write a dataset of gammas and protons that share a run number; return its MadeEvents.

    n_events : numbers of gammas and protons; of two runs of observed events
    dictionary : gh_class bins by a reconstructed energy of 1.1 times the true one
    settings : as keywords of ImageExtractor
    """
    keywords = {"mode": "gh_class", "storage_mode": "mapped", "telescope_type_mode": "ALL", "use_pkl_dict": dictionary}
    settings = config.from_keywords({**keywords, "energy_recon_gamma_only": False, **settings})
    array, made, parts = layout(settings), [], []
    folder = Path(path).parent / f"{Path(path).name}.made"
    folder.mkdir()
    kind = schema.OBSERVED if observed else schema.SIMULATED
    for primary, number in zip((0, 101), n_events, strict=True):
        part_path = folder / f"{primary}.h5"
        with replacing(part_path, sealed=True) as file:
            writer = part_writer.PartWriter(file, settings, array, kind=kind)
            made += _write_events(writer, settings, array, primary, number, dictionary, observed)
            counts = {"events_read": number + 5, f"dropped_{REASONS[0]}": 3, f"dropped_{REASONS[-1]}": 2}
            counts |= writer.run_counts()
            by_type = [sum(writer.n_images[tel_id] for tel_id in array.types.get(name, ())) for name in COUNTED_TYPES]
            counts |= {"images_calibrated": by_type, "images_written": by_type}
            counts |= {"bins_cuts_dict_sha256": "abc" if dictionary else "", "run_number": 4, "primary": primary}
            counts |= {"primary": -1, "run_number": 4 + primary, "passed_over": PASSED_OVER} if observed else {}
            writer.end_run({"file_name": f"run4_{primary}.simtel.gz", **counts})
            writer.finish()
        parts.append(part_path)
    merge.build(parts, path, folder, seed=seed, split=split, attributes={"command_line": "a test"})
    shutil.rmtree(folder)
    return made


def _write_events(writer, settings, array, primary, number, dictionary, observed):
    random, bins = np.random.default_rng(primary), config.energy_bins(settings)
    for index in range(number):
        energy = float(np.float32(10 ** random.uniform(-0.95, 0.9)))
        reconstructed = 1.1 * energy if dictionary else math.nan
        by_label = settings["mode"] == "energy_recon"
        energy_bin = int(bins.find(energy if by_label or not dictionary else reconstructed))
        tel_ids = [tel_id for tel_id in array.grids if random.random() < 0.7] or [1]
        pixels = {
            tel_id: SimpleNamespace(
                image=random.gamma(0.5, 8, TELESCOPES[tel_id][1].n_pixels).astype(np.float32),
                peak_time=random.uniform(5, 40, TELESCOPES[tel_id][1].n_pixels).astype(np.float32),
                image_mask=None,
            )
            for tel_id in tel_ids
        }
        if images.needs_masks(settings["image"]):
            for tel_id, camera in pixels.items():
                camera.image_mask = tailcuts_clean(TELESCOPES[tel_id][1], camera.image, 8, 4)
        event = 100 * (index + 1)
        truth = (event, 4, primary, *random.uniform(-200, 200, 2), 2e4, energy, 1.2, 0.3, reconstructed)
        truth = *truth, 300.0, 0.5, -0.5, 0.3, 1.2
        if observed:
            truth = (event, 4 + primary, -1, *[math.nan] * 6, reconstructed, *[math.nan] * 3, 0.3, 1.2)
            writer.add(energy_bin if dictionary else 0, truth, pixels, time=FIRST_TIME + index * TIME_STEP)
            yield MadeEvent(4 + primary, event, -1, energy, pixels)
            continue
        writer.add(energy_bin, truth, pixels)
        yield MadeEvent(4, event, primary, energy, pixels)
