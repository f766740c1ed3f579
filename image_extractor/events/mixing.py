"""Numbers of 64 bits of which each bit depends on all that they are made of."""

import numpy as np


def mix(numbers):
    """Return other 64 bits, each of which depends on all (splitmix64, Steele et al. 2014, OOPSLA 453).

    numbers : uint64 array
    """
    mixed = numbers + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def start(seed):
    """Return a number to begin with, uint64, as different as seeds (int, or sequence of int) are."""
    return np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]


def mixed(columns, first):
    """Return one number for the values of several columns, uint64 array (n,).

    columns : sequence of int or float arrays (n,), at least one
    first : uint64, see :func:`start`
    """
    found = np.full(len(columns[0]), first)
    for values in columns:
        kind = np.int64 if values.dtype.kind in "iu" else np.float64
        found = mix(found ^ values.astype(kind).view(np.uint64))
    return found
