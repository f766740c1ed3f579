"""Compiled loops that fill the cells of many images from their pixels."""

import numpy as np

from .compiled import compiled, inlined

#: Cells that are worked out for a block of images before they are written: they stay in the fastest cache.
TILE = 32

#: Images in a block.
BLOCK = 32

#: Pixels of a cell that are added up at a time; the numbers of entries are multiples of it.
STEP = 4


@compiled
def place(values, cell, arrays):
    """Put each pixel into a cell of its own.

    Parameters
    ----------
    values : array (n_images, n_pixels)
    cell : uint32 array (n_pixels,)
    arrays : array (n_images, n_cells)
        Written: 0 in cells without pixel.
    """
    for image in range(len(values)):
        source, target = values[image], arrays[image]
        target[:] = 0
        for pixel in range(len(cell)):
            target[cell[np.uintp(pixel)]] = source[np.uintp(pixel)]


@compiled
def share(values, pixel, weight, cell, arrays):
    """Give cells a share of one pixel each.

    Parameters
    ----------
    values : float32 array (n_images, n_pixels)
    pixel, cell : uint32 array (n,)
    weight : float32 array (n,)
    arrays : float32 array (n_images, n_cells)
        Written: 0 in cells that are not named.
    """
    for image in range(len(values)):
        source, target = values[image], arrays[image]
        target[:] = 0
        for i in range(len(cell)):
            target[cell[np.uintp(i)]] = weight[np.uintp(i)] * source[pixel[np.uintp(i)]]


@compiled
def blend(values, first, pixel, weight, arrays):
    """Give each cell the weighted sum of some pixels: a sparse product, image by image in memory.

    Parameters
    ----------
    values : float32 array (n_images, n_pixels)
    first : uint32 array (n_cells + 1,)
        Entries of cell i are first[i] to first[i + 1], a multiple of STEP in number.
    pixel : uint32 array (n_entries,)
    weight : float32 array (n_entries,)
    arrays : float32 array (n_images, n_cells)
        Written.
    """
    n_cells = len(first) - 1
    columns, sums = np.zeros((values.shape[1], BLOCK), np.float32), np.empty((TILE, BLOCK), np.float32)
    for start in range(0, len(values), BLOCK):
        n = min(BLOCK, len(values) - start)
        for i in range(values.shape[1]):
            for image in range(n):
                columns[np.uintp(i), np.uintp(image)] = values[np.uintp(start + image), np.uintp(i)]
        for low in range(0, n_cells, TILE):
            high = min(low + TILE, n_cells)
            if first[np.uintp(low)] == first[np.uintp(high)]:
                arrays[start : start + n, low:high] = 0
                continue
            for cell in range(low, high):
                _add_up(
                    columns, first[np.uintp(cell)], first[np.uintp(cell + 1)], pixel, weight, sums[np.uintp(cell - low)]
                )
            for image in range(n):
                target = arrays[np.uintp(start + image)]
                for cell in range(low, high):
                    target[np.uintp(cell)] = sums[np.uintp(cell - low), np.uintp(image)]


@inlined
def _add_up(columns, begin, end, pixel, weight, total):
    """Write the weighted sums of a cell's pixels to `total`, an entry per image."""
    if begin == end:
        total[:] = 0
    for i in range(begin, end, STEP):
        a, b, c, d = np.uintp(i), np.uintp(i + 1), np.uintp(i + 2), np.uintp(i + 3)
        p, q, r, s = columns[pixel[a]], columns[pixel[b]], columns[pixel[c]], columns[pixel[d]]
        u, v, w, x = weight[a], weight[b], weight[c], weight[d]
        if i == begin:
            for image in range(BLOCK):
                j = np.uintp(image)
                total[j] = u * p[j] + v * q[j] + w * r[j] + x * s[j]
        else:
            for image in range(BLOCK):
                j = np.uintp(image)
                total[j] += u * p[j] + v * q[j] + w * r[j] + x * s[j]
