"""Whether two datasets, or runs, have the same telescopes."""

import hashlib

import numpy as np

#: Columns of Tel_Table that tell of a telescope's optics: their names and units.
OPTICS = {
    "focal_length": ("an equivalent focal length of", "m"),
    "effective_focal_length": ("an effective focal length of", "m"),
    "mirror_area": ("a mirror of", "m2"),
}

#: Relative difference of such numbers, at most: they are stored as float32.
OPTICS_TOLERANCE = 1e-5


def digest(tel_table, cameras, focal_length_choice):
    """Return a text that is the same for the same telescopes: ids, places, cameras, optics; see :func:`difference`."""
    facts = hashlib.sha256(focal_length_choice.encode())
    for column in ("tel_id", "camera", "tel_x", "tel_y", "tel_z", *OPTICS):
        facts.update(np.ascontiguousarray(tel_table[column]))
    for name in sorted(cameras):
        facts.update(name.encode())
        facts.update(np.ascontiguousarray(cameras[name]))
    return facts.hexdigest()[:16]


def difference(one, other):
    """Return in words how the telescopes of two sources differ, '' if they don't: ids, places, cameras, optics."""
    ids, other_ids = (source.tel_table["tel_id"].tolist() for source in (one, other))
    if ids != other_ids:
        return f"telescopes {_listed(other_ids)}, not {_listed(ids)}"
    for a, b in zip(one.tel_table, other.tel_table, strict=True):
        where = f"telescope {a['tel_id']} "
        if a["camera"] != b["camera"]:
            return f"{where}has camera {b['camera'].decode()}, not {a['camera'].decode()}"
        if any(abs(a[axis] - b[axis]) > 0.01 for axis in ("tel_x", "tel_y", "tel_z")):
            return f"{where}stands elsewhere"
        optics = _other_optics(a, b)
        if optics:
            return f"{where}has {optics}"
    choices = one.focal_length_choice, other.focal_length_choice
    if all(choices) and choices[0] != choices[1]:
        return f"made with the {choices[1].lower()} focal lengths, not the {choices[0].lower()} ones"
    for name, pixels in one.cameras.items():
        if not np.array_equal(pixels, other.cameras.get(name)):
            return f"camera {name} has another geometry"
    return ""


def _other_optics(one, other):
    """Return in words what differs in two rows of Tel_Table; what one of them does not know, does not."""
    for column, (name, unit) in OPTICS.items():
        if column in one.dtype.names and column in other.dtype.names:
            values = float(one[column]), float(other[column])
            if not np.isnan(values).any() and not np.isclose(*values, rtol=OPTICS_TOLERANCE, atol=0):
                return f"{name} {values[1]:.6g} {unit}, not {values[0]:.6g} {unit}"
    return ""


def _listed(ids):
    return ", ".join(map(str, ids[:8])) + (f", ... ({len(ids)})" if len(ids) > 8 else "")
