"""HDF5 nodes as this package makes them, and files that appear whole or not at all."""

import contextlib
import os
import warnings
from pathlib import Path

import numpy as np
import tables

from . import row_types
from .errors import DatasetError

#: A chunk is what is compressed, and read, at once: so many bytes of a table's rows, but one image. Trainings read
#: images at random, and chunks of one image are merged as they are. See compression_benchmark.py.
CHUNK_BYTES = 1 << 16
IMAGES_PER_CHUNK = 1

#: Bytes of images that are copied at once.
COPY_BYTES = 64 << 20

#: What lies uncompressed is in chunks as large as this, where the final size is known: readers map it into memory.
#: HDF5 admits chunks below 4 GiB.
PLAIN_CHUNK_BYTES = 1 << 29

#: Suffix of files that are still being written.
TEMPORARY = ".tmp"

COMPRESSORS = {"zstd": ("blosc:zstd", 1), "lz4": ("blosc:lz4", 5), "zlib": ("zlib", 4), "none": (None, 0)}


def filters(compression):
    """Return the PyTables filters of an [output] compression."""
    library, level = COMPRESSORS[compression]
    return tables.Filters(complevel=level, complib=library, shuffle=True) if level else tables.Filters(complevel=0)


def rows_of(n_bytes, row_size):
    """Return how many rows of `row_size` bytes fill `n_bytes`, at least one."""
    return max(1, n_bytes // max(row_size, 1))


def chunk_rows(row_size, filters, n_rows=0):
    """Return the rows of a chunk; `n_rows` is the final number of rows, 0 if it is not known."""
    if filters.complevel or not n_rows:
        return rows_of(CHUNK_BYTES, row_size)
    n_chunks = -(-n_rows * row_size // PLAIN_CHUNK_BYTES)
    return -(-n_rows // n_chunks)  # equal chunks leave no room unused


def create_table(file, where, name, dtype, filters, attributes, n_rows=0):
    """Create a table of a structured dtype, with its attributes; `n_rows` as for :func:`chunk_rows`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", tables.PerformanceWarning)  # rows of `all` storage are large on purpose
        table = file.create_table(
            where,
            name,
            description=dtype,
            filters=filters,
            chunkshape=(chunk_rows(dtype.itemsize, filters, n_rows),),
            createparents=True,
        )
    set_attributes(table, attributes)
    return table


def create_image_array(file, where, name, dtype, shape, filters, attributes, n_images=0, chunk=IMAGES_PER_CHUNK):
    """Create the growing array (0, *shape) of a telescope's images.

    `chunk` images are a chunk; uncompressed, where the final number `n_images` is known, as for :func:`chunk_rows`.
    """
    if n_images and not filters.complevel:
        chunk = chunk_rows(np.dtype(dtype).itemsize * int(np.prod(shape)), filters, n_images)
    array = file.create_earray(
        where,
        name,
        atom=tables.Atom.from_dtype(np.dtype(dtype)),
        shape=(0, *shape),
        chunkshape=(chunk, *shape),
        filters=filters,
        createparents=True,
    )
    set_attributes(array, attributes)
    return array


def copy_images(source, target):
    """Append the images of an array to another of the same shape; as they are stored, if both are stored alike."""
    n_images, first = source.nrows, target.nrows
    if n_images and source.chunkshape == target.chunkshape == (1, *source.shape[1:]) and _stored_alike(source, target):
        target.truncate(first + n_images)
        rest = (0,) * (source.ndim - 1)
        for row in range(n_images):
            chunk, info = source.read_chunk((row, *rest)), source.chunk_info((row, *rest))
            target.write_chunk((first + row, *rest), chunk, info.filter_mask)
        return
    step = rows_of(COPY_BYTES, source.rowsize)
    for row in range(0, n_images, step):
        target.append(source[row : row + step])


def _stored_alike(source, target):
    return str(source.filters) == str(target.filters) and source.dtype == target.dtype


def set_attributes(node, attributes):
    """Set attributes of plain types; others would be pickled."""
    for name, value in attributes.items():
        if not isinstance(value, str | bool | int | float | np.ndarray | np.generic):
            raise TypeError(f"attribute {name}: {type(value).__name__} would be pickled")
        node._v_attrs[name] = value


def user_attributes(node):
    """Return the attributes of a node that are not HDF5's or PyTables' own."""
    return {name: node._v_attrs[name] for name in node._v_attrs._f_list("user")}


@contextlib.contextmanager
def replacing(path, folder=None):
    """Write a new HDF5 file that takes the place of `path` when the block ends well, and not before.

    Yields the open file, under a temporary name in `folder` (default: that of `path`), which must be
    on the same file system.
    """
    path = Path(path)
    temporary = Path(folder or path.parent) / f"{path.name}.{os.getpid()}{TEMPORARY}"
    try:
        with open_file(temporary, "w") as file:
            yield file
        put_in_place(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def put_in_place(finished, path):
    """Let a finished file take the place of `path`, on the same file system, so that it lasts."""
    with finished.open("rb") as written:
        os.fsync(written.fileno())
    finished.replace(path)
    sync_folder(path.parent)


def sync_folder(folder):
    """Make a rename last: the folder's entry, too, must reach the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:  # not every network file system can; the rename itself is still atomic
        pass
    finally:
        os.close(descriptor)


def open_file(path, mode="r"):
    """Open an HDF5 file; one that is truncated, locked or no HDF5 file raises DatasetError in one line."""
    try:
        return tables.open_file(str(path), mode)
    except (tables.HDF5ExtError, OSError) as err:
        if mode != "r":
            raise
        reason = "no such file" if isinstance(err, FileNotFoundError) else "not a readable HDF5 file"
        raise DatasetError(f"{path}: {reason}") from err


def open_dataset(path):
    """Open a dataset of this package for reading.

    Raises
    ------
    DatasetError
        If it is not one, or of a newer format.
    """
    file = open_file(path)
    attributes = file.root._v_attrs
    found = getattr(attributes, "format_version", None)
    if getattr(attributes, "format", None) != row_types.FORMAT_NAME or found is None:
        file.close()
        raise DatasetError(f"{path}: not an image_extractor dataset")
    if int(str(found).split(".")[0]) > int(row_types.FORMAT_VERSION.split(".")[0]):
        file.close()
        raise DatasetError(f"{path}: format {found} is newer than {row_types.FORMAT_VERSION}; update image_extractor")
    return file


def events_groups(file):
    """Return the groups that hold Events tables: /E0, /E1, ... or the root."""
    bins = {node._v_name[1:]: node for node in file.root._f_iter_nodes("Group") if node._v_name[0] == "E"}
    return [bins[number] for number in sorted(filter(str.isdigit, bins), key=int)] or [file.root]


def events_tables(group):
    """Return {name: table} of the Events tables of a group, in the order Events, Training, Validation, Test."""
    names = [row_types.EVENTS, *(f"{row_types.EVENTS}_{split}" for split in row_types.SPLIT_NAMES)]
    return {name: group._f_get_child(name) for name in names if name in group}


def image_arrays(group):
    """Return {tel_id: array} of the image arrays of a group; empty in `all` storage."""
    nodes = {node._v_name: node for node in group._f_iter_nodes("Array") if node._v_name[:1] == "T"}
    return {int(name[1:]): node for name, node in nodes.items() if name[1:].isdigit()}
