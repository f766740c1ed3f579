"""Telescope types and names, and which telescopes of a file they choose."""

import difflib
import re

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

#: Cameras and optics that ctapipe names, as it spells them; files may have others.
CAMERAS = ("LSTCam", "NectarCam", "FlashCam", "SCTCam", "CHEC", "ASTRICam", "DigiCam", "SSTCam")
OPTICS = ("ASTRI", "GCT", "1M")

KNOWN = ("ALL", *TYPES, *CAMERAS, *OPTICS)

#: Settings of fewest telescopes, by words.
COUNTED = (("trigger", "min_telescopes_of_type"), ("event_cuts", "min_images_of_type"))

#: No other camera of square pixels has as many: SSTs have 2,048 or 2,368.
SCT_PIXELS = 10_000


def normalised(word):
    """Return a word as names are compared: in lower case, and what is no letter or digit as _, as in /Cameras."""
    return re.sub(r"\W", "_", word, flags=re.ASCII).lower()


def is_known(word):
    """Say whether a word is ALL, a type, or the name of a camera or optics of ctapipe's."""
    return normalised(word) in map(normalised, KNOWN)


def is_usual(word):
    """Say whether a word is known, or made like the names of models of a production: LSTN-design, MSTx-FlashCam."""
    return is_known(word) or re.fullmatch(rf"({'|'.join(TYPES)})[NSx]?([-_]\w+)*", word, re.ASCII) is not None


def unknown_name(word):
    """Return in words that a name is not known here, and which ones are."""
    near = difflib.get_close_matches(normalised(word), list(map(normalised, KNOWN)), 1)
    if near:
        hint = f"did you mean {next(name for name in KNOWN if normalised(name) == near[0])}?"
    else:
        hint = f"known are {', '.join(KNOWN)}; a file may have others"
    return f"{word} is no type, camera or optics known here; {hint}"


def check_word(word):
    """Return a word that may name telescopes; raise ValueError if it can't.

    Cameras and optics may have any name, but a word as short as a type that is none is a slip.
    """
    if not is_known(word) and (len(word.strip()) <= 3 or word != word.strip()):
        raise ValueError(word)
    return word


def check_type_mode(type_mode):
    """Return a telescope type mode if it is one, words joined by +; raise ValueError if not."""
    if not isinstance(type_mode, str):
        raise ValueError(type_mode)
    for word in type_mode.split("+"):
        check_word(word)
    return type_mode


def telescope_type(telescope):
    """Return the short type (LST, MST, SCT, SST or ctapipe's own) of a TelescopeDescription."""
    camera = telescope.camera.name.lower()
    if camera in TYPE_OF_CAMERA:
        return TYPE_OF_CAMERA[camera]
    if _is_sct(telescope):
        return "SCT"
    return str(getattr(telescope.optics.size_type, "value", telescope.optics.size_type))


def _is_sct(telescope):
    """Say whether a camera of whatever name is an SCT's: very many square pixels behind two mirrors."""
    geometry, optics = telescope.camera.geometry, telescope.optics
    # ctapipe counts one mirror for the SCT that it knows by its size, and does not know the shape of every telescope
    two_mirrors = optics.n_mirrors == 2 or optics.reflector_shape.name in ("SCHWARZSCHILD_COUDER", "UNKNOWN")
    return geometry.pix_type.value == "square" and geometry.n_pixels > SCT_PIXELS and two_mirrors


def names(telescope):
    """Return the words for a telescope, normalised: its camera, its optics, ctapipe's type and camera, its type.

    The names of types mean these alone: an SCT whose optics are called MST is none.
    """
    short, optics = telescope_type(telescope), telescope.optics
    given = [telescope.camera.name, str(optics), optics.name, str(telescope)]
    types = {normalised(name) for name in TYPES}
    return [*(word for word in map(normalised, given) if word not in types), normalised(short)]


def best_key(telescope, values):
    """Return the key of a dict that says most about a telescope, None if none means it.

    values : {word: anything}
        Words as in :func:`names`: a camera counts before optics, and these before a type.
    """
    keys = {normalised(key): key for key in values}
    return next((keys[name] for name in names(telescope) if name in keys), None)


def is_called(telescope, word):
    """Say whether a word names a telescope: its type, camera, optics, or ctapipe's name of its type."""
    return normalised(word) in names(telescope)


def counts(items):
    """Return {word: number} of settings such as ["LST:2", "MST:3"]."""
    pairs = (item.rpartition(":") for item in items)
    return {word: int(number) for word, _, number in pairs}


def select(subarray, type_mode, tel_ids=()):
    """Return the selected telescopes of a subarray.

    subarray : ctapipe SubarrayDescription
    type_mode : such as 'SST+SCT', 'ALL', 'NectarCam'
    tel_ids : only these; empty means all
    returns : {telescope type: [tel_id, ...]}, ids ascending, types in the order of their first telescope
    """
    words = set(map(normalised, type_mode.split("+")))
    selected = {}
    for tel_id in sorted(subarray.tel):
        telescope = subarray.tel[tel_id]
        if words.isdisjoint(["all", *names(telescope)]):
            continue
        if not tel_ids or tel_id in tel_ids:
            selected.setdefault(telescope_type(telescope), []).append(int(tel_id))
    return selected


def unmatched(subarray, settings):
    """Return the words of settings that name no telescope of a subarray, as the lines of a file would have them.

    Those of values for single telescopes only if they are not known: settings are for files of several arrays.
    """
    found = {"all", *(name for telescope in subarray.tel.values() for name in names(telescope))}
    words = [(word, f"[telescope] type_mode: {word}") for word in settings["telescope"]["type_mode"].split("+")]
    for section in ("image", "calibration", "cleaning"):
        for key, values in settings[section].items():
            if key.endswith("_of"):
                words += [(word, f"[{section}] [[{key}]] {word}") for word in values if not is_known(word)]
    for section, key in COUNTED:
        words += [(word, f"[{section}] {key}: {word}") for word in counts(settings[section][key])]
    return [place for word, place in words if normalised(word) not in found]
