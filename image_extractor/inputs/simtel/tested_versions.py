"""The versions of ctapipe and eventio whose inner workings the fast reader relies on."""

import importlib.metadata

#: First and last tested release, the last with all its patches.
TESTED = {"ctapipe": ("0.28", "0.32"), "eventio": ("2.1", "2.2")}


def untested():
    """Return in words which installed package is not of a tested version, '' if all are."""
    for name, (first, last) in TESTED.items():
        installed = importlib.metadata.version(name)
        if not _release(first) <= _release(installed) <= _release(last):
            return f"{name} {installed} is not a version it was tested with ({first} to {last})"
    return ""


def _release(version):
    return tuple(int("".join(filter(str.isdigit, number)) or 0) for number in version.split(".")[:2])
