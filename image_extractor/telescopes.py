"""Telescope types, and which telescopes of a file are selected."""

TYPES = ("SST", "LST", "MST", "SCT")

#: Short type by camera, in lower case: ctapipe calls the SCT an MST, and prod6 spells the LST's camera LSTcam.
TYPE_OF_CAMERA = {
    "lstcam": "LST",
    "nectarcam": "MST",
    "flashcam": "MST",
    "sctcam": "SCT",
    "chec": "SST",
    "astricam": "SST",
    "digicam": "SST",
    "sstcam": "SST",
}


def check_type_mode(type_mode):
    """Return a telescope type mode if it is one; raise ValueError if not.

    A word of it is a type, ALL, or the name of a camera. Cameras may have any name, but a word as
    short as a type that is none is a slip.
    """
    if not isinstance(type_mode, str):
        raise ValueError(type_mode)
    for word in type_mode.split("+"):
        known = word in (*TYPES, "ALL") or word.lower() in TYPE_OF_CAMERA
        if not known and (len(word.strip()) <= 3 or word != word.strip()):
            raise ValueError(type_mode)
    return type_mode


def telescope_type(telescope):
    """Return the short type (LST, MST, SCT, SST or ctapipe's own) of a TelescopeDescription."""
    camera = telescope.camera.name.lower()
    if camera in TYPE_OF_CAMERA:
        return TYPE_OF_CAMERA[camera]
    return str(getattr(telescope.optics.size_type, "value", telescope.optics.size_type))


def select(subarray, type_mode, tel_ids=()):
    """Return the selected telescopes of a subarray.

    subarray : ctapipe SubarrayDescription
    type_mode : such as 'SST+SCT', 'ALL', 'NectarCam'
    tel_ids : only these; empty means all
    returns : {telescope type: [tel_id, ...]}, ids ascending, types in the order of their first telescope
    """
    words = {word.lower() for word in type_mode.split("+")}
    selected = {}
    for tel_id in sorted(subarray.tel):
        telescope = subarray.tel[tel_id]
        short = telescope_type(telescope)
        if not words & {"all", short.lower(), telescope.camera.name.lower()}:
            continue
        if not tel_ids or tel_id in tel_ids:
            selected.setdefault(short, []).append(int(tel_id))
    return selected
