"""Groups of neighbours among the pixels kept."""

import numpy as np

from ..compiled import compiled

#: Most pixels of a small and of a medium island, as in ctapipe.
SMALL, MEDIUM = 2, 50


@compiled
def morphology(mask, kept, first, neighbour, row):
    """Count pixels and islands.

    Parameters
    ----------
    mask : bool array (n_pixels,)
    kept : int array (n_kept,)
        The pixels in it.
    first, neighbour : int array (n_pixels + 1,), (n_neighbours,)
        neighbour[first[i]:first[i + 1]] are the neighbours of pixel i.
    row : float array (5,)
        Written: pixels, islands, and of these small, medium and large ones.
    """
    row[:] = 0
    row[0] = len(kept)
    left = mask.copy()
    waiting = np.empty(len(kept), np.int64)
    for start in kept:
        if not left[start]:
            continue
        left[start] = False
        waiting[0] = start
        n_waiting, size = 1, 0
        while n_waiting:
            n_waiting -= 1
            pixel = waiting[n_waiting]
            size += 1
            for place in range(first[pixel], first[pixel + 1]):
                other = neighbour[place]
                if left[other]:
                    left[other] = False
                    waiting[n_waiting] = other
                    n_waiting += 1
        row[1] += 1
        row[2 if size <= SMALL else 3 if size <= MEDIUM else 4] += 1
