"""Compiled loops that fill the cells of many images from their pixels, and round them."""

import numpy as np

from ..compiled import compiled, fused

#: Cells in a row that are added up before they are handed to the images: a line of the processor's cache, 64 bytes.
TILE = 16

#: Cells that follow each other and have equally many entries.
GROUP = 4

#: Images that are worked on at once, at most: their pixels stay in the processor's cache.
MOST_IMAGES = 32

#: Numbers in a vector; images are filled up to whole ones.
VECTOR = 8

#: Pixels side by side in a module of most square cameras; SCTCam numbers them as its cells are.
ROW = 8


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
def place_rows(values, pixel, arrays):
    """Put each ROW pixels that follow each other into as many cells of their own.

    Parameters
    ----------
    values : array (n_images, n_pixels)
    pixel : int32 array (n_cells / ROW,)
        The first of the pixels in each ROW cells; -1: none.
    arrays : array (n_images, n_cells)
        Written: 0 in cells without pixel.
    """
    for image in range(len(values)):
        source, target = values[image], arrays[image]
        for row in range(len(pixel)):
            first, cell = pixel[np.uintp(row)], np.uintp(row * ROW)
            for i in range(ROW):
                target[cell + np.uintp(i)] = source[np.uintp(first + i)] if first >= 0 else 0


@fused
def blend(values, first, pixel, weight, arrays):
    """Give each cell the weighted sum of some pixels: a sparse product, of up to MOST_IMAGES images at a time.

    Pixels are turned to the front, so that the innermost loops go through images, side by side: the compiler makes
    vectors of them. Sums are read and written once for three entries, as many as a bilinear cell has.

    Parameters
    ----------
    values : float32 array (n_images, n_pixels)
    first : uint32 array (n_groups + 1,)
        Entries of group i are first[i] to first[i + 1]: for each of GROUP cells the first, then for each the second,
        and so on. TILE cells in a row make up TILE / GROUP groups; the last TILE cells overlap with those before.
    pixel : uint32 array (n_entries,)
        n_pixels: none.
    weight : float32 array (n_entries,)
    arrays : float32 array (n_images, n_cells)
        Written; TILE cells at least.
    """
    n_pixels, n_cells, n_groups = values.shape[1], arrays.shape[1], TILE // GROUP
    # a number the compiler can't know, else it writes the loops out one by one
    width = min(-(-len(values) // VECTOR) * VECTOR, MOST_IMAGES)
    columns, sums = np.zeros((n_pixels + 1, width), np.float32), np.empty((TILE, width), np.float32)
    for start in range(0, len(values), width):
        n = min(width, len(values) - start)
        for image in range(n):
            for i in range(n_pixels):
                columns[np.uintp(i), np.uintp(image)] = values[np.uintp(start + image), np.uintp(i)]
        for group in range(0, len(first) - 1, n_groups):
            low = min(group * GROUP, n_cells - TILE)
            sums[:] = 0
            for cell in range(TILE):
                g, total = np.uintp(group + cell // GROUP), sums[np.uintp(cell)]
                i, end = np.uintp(first[g] + cell % GROUP), np.uintp(first[g + np.uintp(1)])
                while i + np.uintp(2 * GROUP) < end:
                    j, k = i + np.uintp(GROUP), i + np.uintp(2 * GROUP)
                    a, b, c = columns[np.uintp(pixel[i])], columns[np.uintp(pixel[j])], columns[np.uintp(pixel[k])]
                    of_a, of_b, of_c = weight[i], weight[j], weight[k]
                    for image in range(width):
                        total[image] = ((total[image] + of_a * a[image]) + of_b * b[image]) + of_c * c[image]
                    i += np.uintp(3 * GROUP)
                while i < end:
                    a, of_a = columns[np.uintp(pixel[i])], weight[i]
                    for image in range(width):
                        total[image] += of_a * a[image]
                    i += np.uintp(GROUP)
            for image in range(n):
                target = arrays[np.uintp(start + image)]
                for cell in range(TILE):
                    target[np.uintp(low + cell)] = sums[np.uintp(cell), np.uintp(image)]


#: Marks of numbers that could not be stored as they are: too large or small; below 0 in an unsigned dtype; not finite.
#: The number in between is for what is below 0 in the second of two channels.
CLIPPED, NEGATIVE, NOT_FINITE = 1, 2, 8


@compiled
def round_off(values, scale, low, high, stored, marks):
    """Round value * scale to whole numbers from low to high, half to even; what is not finite becomes 0.

    Parameters
    ----------
    values : float array (n,)
    scale, low, high : float
    stored : integer array (n,)
        Written.
    marks : uint8 array (n,)
        Written: CLIPPED, NEGATIVE (below 0 where low is 0) or NOT_FINITE, and 0 for what was stored as it is.
    """
    for i in range(len(values)):
        # float64, because float32 has too few digits for uint32 and for exact halves
        value = np.rint(np.float64(values[np.uintp(i)]) * scale)
        finite = np.isfinite(value)
        value = value if finite else 0.0
        too_low = NEGATIVE if low == 0 else CLIPPED
        mark = CLIPPED if value > high else too_low if value < low else 0
        marks[np.uintp(i)] = mark if finite else NOT_FINITE
        stored[np.uintp(i)] = np.int64(min(max(value, low), high))
