"""Files that are no run of sim_telarray, called what they are."""

from eventio.constants import SYNC_MARKER_BIG_ENDIAN, SYNC_MARKER_LITTLE_ENDIAN
from eventio.header import parse_header_bytes

from ...errors import InputError
from .byte_stream import ByteStream

RECORD_MARK, HEADER_SIZE = 4, 16
HISTOGRAMS = 100
IACT = range(1200, 1204)  # headers of runs, telescopes and showers; what follows may stand in a run too
NEEDED = "give the file that sim_telarray wrote"


def refuse_foreign(path):
    """Raise InputError if a file does not begin like one of sim_telarray.

    path : str or Path, of a file that can be read
    """
    what = _what(_start(path))
    if what == "other":
        raise InputError(f"{path}: not a simtel (EventIO) file")
    if what:
        raise no_run(path, what)


def is_other(path):
    """Say whether a file is of another kind altogether: neither EventIO nor CORSIKA's."""
    return _what(_start(path)) == "other"


def _start(path):
    stream = ByteStream(path)
    try:
        return stream.read_some(HEADER_SIZE)
    finally:
        stream.close()


def no_run(path, what):
    """Return the InputError that says what a file is instead of a run."""
    return InputError(f"{path}: {what}: {NEEDED}")


def _what(start):
    """Return in words what a file is that begins with these bytes, '' if it may be a run."""
    if start.startswith(SYNC_MARKER_BIG_ENDIAN):
        return "EventIO of a machine with big-endian numbers, which this does not read"
    if not SYNC_MARKER_LITTLE_ENDIAN.startswith(start[: len(SYNC_MARKER_LITTLE_ENDIAN)]):
        is_corsika = b"RUNH" in (start[:4], start[RECORD_MARK : RECORD_MARK + 4])
        return "CORSIKA particles, no simtel file" if is_corsika else "other"
    if len(start) < HEADER_SIZE:
        return ""
    return foreign_kind(parse_header_bytes(start[len(SYNC_MARKER_LITTLE_ENDIAN) :], toplevel=True).type)


def foreign_kind(kind):
    """Return in words what a file is that has an object of this type before any run header, or an empty string."""
    if kind == HISTOGRAMS:
        return "histograms of sim_telarray (.hdata), no simtel file"
    if kind in IACT:
        return "a CORSIKA IACT file of photons that no telescope has seen yet, no simtel file"
    return ""


def version_words(name, given, known):
    """Say that an object is of a version that is not read; `known` are the first and last that are."""
    first, last = min(known), max(known)
    reads = f"{first} and newer" if given < first else f"up to {last}"
    return f"format version {given} of {name}; this reads {reads}"
