"""The versions of other libraries whose inner workings this package relies on; see *_patches.py."""

import importlib.metadata

#: First and last tested release, the last with all its patches.
TESTED = {"ctapipe": ("0.28", "0.32"), "eventio": ("2.1", "2.2"), "tables": ("3.10", "3.11")}


def untested(*names):
    """Return in words which of these installed packages is not of a tested version, '' if all are."""
    for name in names:
        first, last = TESTED[name]
        installed = importlib.metadata.version(name)
        if not _release(first) <= _release(installed) <= _release(last):
            return f"{name} {installed} is not a version it was tested with ({first} to {last})"
    return ""


def tested(name):
    """Return in words which versions of a package to install."""
    return f"{name} {' to '.join(TESTED[name])}"


def _release(version):
    return tuple(int("".join(filter(str.isdigit, number)) or 0) for number in version.split(".")[:2])
