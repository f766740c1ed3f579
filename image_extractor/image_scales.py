"""What stored numbers of images mean: counts per photo-electron and per nanosecond."""

from collections.abc import Mapping
from typing import Any

import numpy as np


def scales(described: Mapping[str, Any]) -> dict[str, float]:
    """Return {"charge_scale": stored counts per p.e., "time_scale": per ns}.

    Floats are stored in p.e. and ns, whatever settings say of integers.

    described : mapping
        With dtype, charge_scale and time_scale: the section [image] of the settings, or the attributes of a table or
        array of images.
    """
    is_float = np.dtype(str(described["dtype"])).kind == "f"
    return {name: 1.0 if is_float else float(described[name]) for name in ("charge_scale", "time_scale")}
