"""Real simtel files, where they are at hand."""

import os
from pathlib import Path

import pytest

REAL_FILES = {
    "history_meta_75.simtel.zst": "LST+MST",
    "gamma_prod6_tel_event_header_v4.simtel.zst": "LST+MST",
    "lst_muons.simtel.zst": "LST",
    "gct_checs_muons.simtel.zst": "SST",
}


def real_folder():
    """Return the folder of real simtel files, None where there is none."""
    candidates = [os.environ.get("IMAGE_EXTRACTOR_TEST_DATA"), Path(__file__).parents[3] / "shared" / "simtel"]
    return next((Path(folder) for folder in candidates if folder and Path(folder).is_dir()), None)


def real_file(name):
    """Return the path of a real simtel file; skip the test where it is not at hand."""
    folder = real_folder()
    if folder is None or not (folder / name).exists():
        pytest.skip(f"no real {name} at hand: set IMAGE_EXTRACTOR_TEST_DATA to its folder")
    return folder / name
