"""Compiled loops that fill the cells of many images from their pixels, and round them.

numba has no type for vectors, so two steps are pieces of LLVM's language, which LLVM turns into the instructions of
the processor at hand, of whatever width it has. They stand beside the loops, because numba's cache of compiled loops
looks at their own file only.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..compiled import compiled

#: Images that are worked on at once: numbers in a vector.
LANES = 16

_VECTOR = ir.VectorType(ir.FloatType(), LANES)
_INT32 = ir.IntType(32)
#: Lets the processor multiply and add in one instruction, where it has one.
_FUSED = ("contract",)

#: Cells that are added up at a time, so that no addition waits for the one before: as many as fit into the registers of
#: processors with half as long vectors, too.
GROUP = 4

#: Pixels side by side in a module of most square cameras; SCTCam numbers them as its cells are.
ROW = 8


# -- vectors; arrays are taken as flat, and places in them are counted in elements -------------------------------------


def _data(context, builder, array_type, array):
    return context.make_array(array_type)(context, builder, array).data


def _place(builder, data, index):
    return builder.bitcast(builder.gep(data, [index]), _VECTOR.as_pointer())


def _load(builder, data, index):
    return builder.load(_place(builder, data, index), align=4)


def _store(builder, vector, data, index):
    builder.store(vector, _place(builder, data, index), align=4)


def _lanes(numbers):
    return ir.Constant(ir.VectorType(_INT32, LANES), list(numbers))


def _repeated(builder, number):
    """Return a vector of equal numbers."""
    nothing = ir.Constant(_VECTOR, ir.Undefined)
    return builder.shuffle_vector(
        builder.insert_element(nothing, number, ir.Constant(_INT32, 0)), nothing, _lanes([0] * LANES)
    )


def _sums(builder, columns, pixel, weight, begin, end):
    """Return GROUP vectors: c is the sum of weight[i] * columns[pixel[i] * LANES :], i from begin + c by GROUP."""
    word = begin.type
    totals = [cgutils.alloca_once(builder, _VECTOR) for _ in range(GROUP)]
    for total in totals:  # the slot is made once for the whole function, and used for each group
        builder.store(ir.Constant(_VECTOR, [0.0] * LANES), total)
    with cgutils.for_range_slice(builder, begin, end, word(GROUP), intp=word) as (start, _):
        for c, total in enumerate(totals):
            i = builder.add(start, word(c))
            first = builder.mul(builder.zext(builder.load(builder.gep(pixel, [i])), word), word(LANES))
            factor = _repeated(builder, builder.load(builder.gep(weight, [i])))
            product = builder.fmul(_load(builder, columns, first), factor, flags=_FUSED)
            builder.store(builder.fadd(builder.load(total), product, flags=_FUSED), total)
    return [builder.load(total) for total in totals]


def _transposed(builder, vectors):
    """Return the columns of a square of LANES x LANES."""
    # A perfect shuffle of all numbers, first half and second half by turns, doubles the place of each: its bits turn by
    # one. After as many shuffles as a row's number has bits, rows are columns.
    half = LANES // 2
    shuffles = [_lanes(h * half + i // 2 + LANES * (i % 2) for i in range(LANES)) for h in (0, 1)]
    for _i in range(LANES.bit_length() - 1):
        vectors = [
            builder.shuffle_vector(vectors[i], vectors[i + half], shuffle) for i in range(half) for shuffle in shuffles
        ]
    return vectors


def _store_rows(builder, vectors, target, to, step, n):
    """Store the first n vectors, `step` elements apart."""
    places = [to]
    for i in range(1, LANES):
        following = builder.add(places[-1], step)
        places.append(builder.select(builder.icmp_unsigned("<", n.type(i), n), following, places[-1]))
    # backwards, so that rows from n on, for which there is no place, are overwritten by the last one that has one
    for vector, place in zip(reversed(vectors), reversed(places), strict=True):
        _store(builder, vector, target, place)


@intrinsic
def _transpose(_, source, start, step, target, to):
    """Turn a square of LANES x LANES: target[to + i * LANES + j] = source[start + j * step + i].

    source, target : float32 arrays; start, step, to : uintp
    """

    def generate(context, builder, signature, arguments):
        source, target = (_data(context, builder, signature.args[i], arguments[i]) for i in (0, 3))
        _, start, step, _, to = arguments
        vectors, place = [], start
        for _i in range(LANES):
            vectors.append(_load(builder, source, place))
            place = builder.add(place, step)
        lanes = to.type(LANES)
        _store_rows(builder, _transposed(builder, vectors), target, to, lanes, lanes)
        return context.get_dummy_value()

    word = types.uintp
    return types.void(source, word, word, target, word), generate


@intrinsic
def _fill(_, columns, first, pixel, weight, group, target, to, step, n):
    """Give LANES cells of n images their sums: of cells in groups from `group` on, to target[to + image * step + cell].

    columns, weight, target : float32 arrays; first, pixel : uint32 arrays; group, to, step, n : uintp
    """

    def generate(context, builder, signature, arguments):
        columns, first, pixel, weight, target = (
            _data(context, builder, signature.args[i], arguments[i]) for i in (0, 1, 2, 3, 5)
        )
        group, to, step, n = arguments[4], *arguments[6:]
        vectors = []
        for g in range(LANES // GROUP):
            begin, end = (
                builder.zext(builder.load(builder.gep(first, [builder.add(group, group.type(g + i))])), group.type)
                for i in (0, 1)
            )
            vectors += _sums(builder, columns, pixel, weight, begin, end)
        _store_rows(builder, _transposed(builder, vectors), target, to, step, n)
        return context.get_dummy_value()

    word = types.uintp
    return types.void(columns, first, pixel, weight, word, target, word, word, word), generate


# -- the loops ----------------------------------------------------------------------------------------------------


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


@compiled
def blend(values, first, pixel, weight, arrays):
    """Give each cell the weighted sum of some pixels: a sparse product, of LANES images at a time.

    Pixels are turned to the front, so that one instruction takes a pixel of all these images; sums are turned back.

    Parameters
    ----------
    values : float32 array (n_images, n_pixels)
    first : uint32 array (n_groups + 1,)
        Entries of group i are first[i] to first[i + 1]: for each of GROUP cells the first, then for each the second,
        and so on. LANES cells in a row make up LANES / GROUP groups; the last LANES cells overlap with those before.
    pixel : uint32 array (n_entries,)
        n_pixels: none.
    weight : float32 array (n_entries,)
    arrays : float32 array (n_images, n_cells)
        Written; LANES cells at least.
    """
    n_pixels, n_cells, n_groups = values.shape[1], arrays.shape[1], LANES // GROUP
    width = (n_pixels // LANES + 1) * LANES
    rows, columns = np.zeros((LANES, width), np.float32), np.empty((width, LANES), np.float32)
    for start in range(0, len(values), LANES):
        n = min(LANES, len(values) - start)
        rows[:n, :n_pixels] = values[start : start + n]
        for low in range(0, width, LANES):
            _transpose(rows, np.uintp(low), np.uintp(width), columns, np.uintp(low * LANES))
        for group in range(0, len(first) - 1, n_groups):
            low = min(group * GROUP, n_cells - LANES)
            if first[np.uintp(group)] == first[np.uintp(group + n_groups)]:
                for image in range(start, start + n):
                    for cell in range(low, low + LANES):
                        arrays[np.uintp(image), np.uintp(cell)] = 0
            else:
                target = np.uintp(start * n_cells + low)
                _fill(columns, first, pixel, weight, np.uintp(group), arrays, target, np.uintp(n_cells), np.uintp(n))


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
