"""How loops are compiled: once per machine, by numba, which ctapipe brings along."""

from ctapipe.core.env import CTAPIPE_DISABLE_NUMBA_CACHE
from numba import njit

compiled = njit(cache=not CTAPIPE_DISABLE_NUMBA_CACHE, nogil=True)

#: For functions that are called by compiled ones, many times: their lines become part of the caller.
inlined = njit(inline="always")
