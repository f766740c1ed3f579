"""Pickles of plain values: unpickling runs code, so nothing but the types that a bins_cuts_dict is made of is built."""

import pickle

import numpy as np


class Refused(pickle.UnpicklingError):
    """A pickle that holds what no bins_cuts_dict holds."""


class _Dtype:
    """Stands in for numpy.dtype while a NumPy scalar is unpickled: numbers and strings only."""

    def __init__(self, code, *_):
        self.code, self.order = str(code), "="

    def __setstate__(self, state):
        self.order = "<>"["<>".index(state[1])] if state[1] in ("<", ">") else "="


def _scalar(dtype, data):
    """Stands in for NumPy's scalar(): the Python number or string with these bytes."""
    if dtype.code[0] not in "ifubU" or len(data) > 1024:
        raise Refused(f"a NumPy {dtype.code}")
    return np.frombuffer(data, np.dtype(dtype.code).newbyteorder(dtype.order), count=1)[0].item()


def _latin1(text, encoding):
    """Stands in for _codecs.encode, with which old pickle protocols write bytes."""
    if encoding != "latin1":
        raise Refused(f"text encoded as {encoding}")
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
        raise Refused(f"it holds {module}.{name}; only dict, tuple, list, int, float, str and NumPy scalars are read")


def load(file):
    """Return what the next pickle of an open file holds.

    A hostile one may take all memory, or end the interpreter.

    Raises
    ------
    Refused
        If that is more than plain values.
    Exception
        Of almost any kind, if it is broken.
    """
    return _Unpickler(file).load()
