"""mscw files of a few events, as EventDisplay writes them, and settings for them."""

import numpy as np
import pytest

from image_extractor import config

uproot = pytest.importorskip("uproot", reason="needs uproot, from the extra [scripts]")

INTEGERS = ("runNumber", "eventNumber", "NImages")
#: float64 up to EventDisplay_v4 v490 and in Eventdisplay, float32 since v492
VARYING = ("MSCW", "MSCL", "EChi2S", "ErecS", "dES")
DOUBLES = ("MCxoff", "MCyoff")
FLOATS = (*VARYING, "EmissionHeight", *DOUBLES)

#: An event that passes every default cut.
GOOD = {
    "runNumber": 1, "eventNumber": 100, "NImages": 4, "MSCW": 0.1, "MSCL": 0.2, "EChi2S": 1.5, "ErecS": 0.5,
    "dES": 0.1, "EmissionHeight": 11.0, "MCxoff": 0.3, "MCyoff": -0.4,
}  # fmt: skip


def branch_types(version):
    types = dict.fromkeys(INTEGERS, "int32") | dict.fromkeys(VARYING, version)
    return (
        types
        | {"NImages": "int32" if version == "float32" else "uint32", "EmissionHeight": "float32"}
        | (dict.fromkeys(DOUBLES, "float64"))
    )


def write_mscw(path, baskets, version="float64", without=(), more=None):
    """Write rows, {branch: value}, as a mscw file: a list of lists, each a basket."""
    types = {name: kind for name, kind in branch_types(version).items() if name not in without}
    with uproot.recreate(path) as file:
        tree = file.mktree("data", types | (more or {}))
        for rows in baskets:
            if rows:
                columns = {name: np.array([row[name] for row in rows], dtype=kind) for name, kind in types.items()}
                tree.extend(columns | {name: np.zeros(len(rows), kind) for name, kind in (more or {}).items()})
    return path


def with_settings(**changes):
    """Return settings with some cuts, or energy_bins, that differ from the defaults."""
    sections = {"energy_bins": changes.pop("energy_bins", {}), "preselection_cuts": changes}
    lines = []
    for section, values in sections.items():
        lines.append(f"[{section}]")
        lines += [
            f"{key} = {', '.join(map(str, value)) if isinstance(value, list) else value}"
            for key, value in values.items()
        ]
    return config.loads("\n".join(lines))
