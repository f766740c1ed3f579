"""How loops are compiled: once per machine, by numba, which ctapipe brings along."""

from ctapipe.core.env import CTAPIPE_DISABLE_NUMBA_CACHE
from numba import njit

_CACHE = not CTAPIPE_DISABLE_NUMBA_CACHE

compiled = njit(cache=_CACHE, nogil=True)

#: The same; the processor may multiply and add in one instruction, where it has one, which rounds once.
fused = njit(cache=_CACHE, nogil=True, fastmath={"contract"})
