"""The bins_cuts_dict: {(run number, event number): (bin, reconstructed energy in TeV)}.

The file is a pickle. Unpickling runs code, and these files are passed around, so nothing but the
types that such a dictionary is made of is ever built from one.
"""

import hashlib
import math
import numbers
import pickle
from pathlib import Path

import numpy as np

from .errors import ConfigError


class _Dtype:
    """Stands in for numpy.dtype while a NumPy scalar is unpickled: numbers and strings only."""

    def __init__(self, code, *_):
        self.code, self.order = str(code), "="

    def __setstate__(self, state):
        self.order = "<>"["<>".index(state[1])] if state[1] in ("<", ">") else "="


def _scalar(dtype, data):
    """Stands in for NumPy's scalar(): the Python number or string with these bytes."""
    if dtype.code[0] not in "ifubU" or len(data) > 1024:
        raise pickle.UnpicklingError(f"a NumPy {dtype.code}")
    return np.frombuffer(data, np.dtype(dtype.code).newbyteorder(dtype.order), count=1)[0].item()


def _latin1(text, encoding):
    """Stands in for _codecs.encode, with which old pickle protocols write bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"text encoded as {encoding}")
    return text.encode("latin1")


HARMLESS = {
    ("numpy", "dtype"): _Dtype,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("_codecs", "encode"): _latin1,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        if (module, name) in HARMLESS:
            return HARMLESS[module, name]
        raise pickle.UnpicklingError(
            f"it holds {module}.{name}; only dict, tuple, list, int, float, str and NumPy scalars are read"
        )


def load(path):
    """Read a bins_cuts_dict.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    dict
        {(run number, event number): (bin, reconstructed energy)}, built-in ints and floats.

    Raises
    ------
    ConfigError
        If it can't be read, holds anything but plain values, or has a wrong entry, which is named.
    """
    try:
        with Path(path).open("rb") as file:
            entries = _Unpickler(file).load()
    except OSError as err:
        raise ConfigError(f"{path}: the dictionary can't be read: {err.strerror or err}") from err
    except Exception as err:  # a broken pickle raises errors of almost any kind
        reason = " ".join(str(err).split()) or type(err).__name__
        raise ConfigError(f"{path}: refused as a bins_cuts_dict: {reason}") from err
    return check(entries, path)


def check(entries, name="bins_cuts_dict"):
    """Return the entries of a bins_cuts_dict with built-in types; raise ConfigError for the first wrong one."""
    if not isinstance(entries, dict):
        raise ConfigError(f"{name}: a bins_cuts_dict is a dict, this is a {type(entries).__name__}")
    checked = {}
    for key, value in entries.items():
        if not (_is_pair(key) and all(map(_is_integer, key))):
            raise ConfigError(f"{name}: key {_shown(key)}: must be (run number, event number)")
        if not (_is_pair(value) and _is_integer(value[0]) and value[0] >= 0):
            raise ConfigError(f"{name}: {_shown(key)}: {_shown(value)}: must be (bin, reconstructed energy)")
        if not (_is_real(value[1]) and math.isfinite(value[1]) and value[1] >= 0):
            raise ConfigError(
                f"{name}: {_shown(key)}: energy {_shown(value[1])}: must be a number of TeV, not negative"
            )
        checked[int(key[0]), int(key[1])] = (int(value[0]), float(value[1]))
    return checked


def check_bins(entries, n_bins, name="bins_cuts_dict"):
    """Raise ConfigError, naming the key, if an entry's bin is not among the configured ones."""
    for key, (energy_bin, _) in entries.items():
        if energy_bin >= n_bins:
            raise ConfigError(
                f"{name}: {key}: bin {energy_bin} is not among the {n_bins} of [energy_bins], 0 to {n_bins - 1}"
            )


def sha256(path):
    """Return the SHA-256 of a file, hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of(entries):
    """Return the SHA-256 of the entries of a dictionary that is in no file, hexadecimal."""
    digest = hashlib.sha256()
    for entry in sorted(entries.items()):
        digest.update(repr(entry).encode())
    return digest.hexdigest()


def _is_pair(value):
    return isinstance(value, tuple | list) and len(value) == 2


def _is_integer(value):
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _is_real(value):
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _shown(value):
    try:
        text = repr(value)
    except RecursionError:
        text = f"a nested {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "..."
