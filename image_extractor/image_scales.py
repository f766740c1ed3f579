"""What stored numbers of images mean: the channels, and counts per photo-electron, nanosecond and share of a cell."""

from collections.abc import Mapping
from typing import Any

import numpy as np

#: Integers hold 100 where the cleaning mask covers a cell whole: a share of it to a percent, in every dtype.
MASK_SCALE = 100.0


def channel_names(mode: str) -> list[str]:
    """Return 'charge', 'time', 'mask' or 'empty' for each channel of an image mode such as 'PIXELS_TIMING_3C'."""
    names = ["charge", *(["time"] if "TIMING" in mode else []), *(["mask"] if has_mask(mode) else [])]
    return [*names, *["empty"] * (int(mode[-2]) - len(names))]


def has_mask(mode: str) -> bool:
    """Say whether the last channel of an image mode is the cleaning mask."""
    return "MASK" in mode


def scales(described: Mapping[str, Any]) -> dict[str, float]:
    """Return {"charge_scale": stored counts per p.e., "time_scale": per ns}, and "mask_scale" where there are masks.

    Floats are stored in p.e., ns and shares, whatever settings say of integers.

    described : mapping
        With dtype, charge_scale and time_scale: the section [image] of the settings, or the attributes of a table or
        array of images.
    """
    is_float = np.dtype(str(described["dtype"])).kind == "f"
    found = {name: 1.0 if is_float else float(described[name]) for name in ("charge_scale", "time_scale")}
    mode = next((str(described[name]) for name in ("image_mode", "mode") if name in described), "")
    if has_mask(mode):
        # files say it, settings have no choice
        stated = float(described["mask_scale"]) if "mask_scale" in described else MASK_SCALE
        found["mask_scale"] = 1.0 if is_float else stated
    return found
