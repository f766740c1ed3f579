"""HDF5 nodes as this package makes them, and files that appear whole or not at all."""

import contextlib
import errno
import os
import re
import uuid
import warnings
from pathlib import Path

import numpy as np
import tables

from . import row_types
from .errors import DamagedDatasetError, DatasetError, one_line
from .input_files import why_no_file
from .text_table import printable
from .verification import Ledger, incomplete, outline, root_outline, verify, verify_root, write_chunks

#: A chunk is what is compressed, and read, at once: so many bytes of a table's rows, but one image. Trainings read
#: images at random, and chunks of one image are merged as they are. See compression_benchmark.py.
CHUNK_BYTES = 1 << 16
IMAGES_PER_CHUNK = 1

#: Bytes of chunks that HDF5 keeps of every table and array of an open file.
CHUNK_CACHE_BYTES = 1 << 18

#: Bytes of images that are copied at once.
COPY_BYTES = 64 << 20

#: HDF5 looks through all chunks of an array for where one is: where there are more, images are compressed anew.
MAX_LOOKUPS = 5000

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
    one_per_chunk = source.chunkshape == target.chunkshape == (1, *source.shape[1:])
    as_stored = one_per_chunk and source.nrows <= MAX_LOOKUPS and _stored_alike(source, target)
    step = rows_of(COPY_BYTES, source.rowsize)
    for row in range(0, source.nrows, step):
        with damage(source._v_file.filename):
            images = source[row : row + step]
            chunks = _chunks(source, row, len(images)) if as_stored else None
        if as_stored:
            _append_chunks(target, chunks, images)
        else:
            append(target, images)


def _chunks(source, row, n_rows):
    """Return chunks of one image each as they are stored: list of (bytes, filter mask).

    They are read past HDF5, which would look for each of them once more.
    """
    rest, descriptor = (0,) * (source.ndim - 1), source._v_file.fileno()
    places = [source.chunk_info((number, *rest)) for number in range(row, row + n_rows)]
    return [(os.pread(descriptor, place.size, place.offset), place.filter_mask) for place in places]


def _append_chunks(target, chunks, images):
    """Append chunks, which hold these images."""
    first = target.nrows
    target.truncate(first + len(images))
    if isinstance(target._v_file, _NewFile):
        target._v_file.ledger.write_chunks(target, first, chunks, images)
    else:
        write_chunks(target, first, chunks)


def _stored_alike(source, target):
    return str(source.filters) == str(target.filters) and source.dtype == target.dtype


def set_attributes(node, attributes):
    """Set attributes of plain types; others would be pickled."""
    for name, value in attributes.items():
        if not isinstance(value, str | bool | int | float | np.ndarray | np.generic):
            raise TypeError(f"attribute {name}: {type(value).__name__} would be pickled")
        node._v_attrs[name] = printable(value) if isinstance(value, str) else value  # HDF5's text is UTF-8


def user_attributes(node):
    """Return the attributes of a node that are not HDF5's or PyTables' own; raise DatasetError for a pickle."""
    with damage(node._v_file.filename):
        attributes = {name: node._v_attrs[name] for name in node._v_attrs._f_list("user")}
    for name, value in attributes.items():
        if isinstance(value, bytes) and not isinstance(value, np.generic):
            where = f"{node._v_file.filename}: {node._v_pathname}"
            raise DatasetError(f"{where}: its attribute {name} is a Python object, which is not read")
    return attributes


def append(node, rows):
    """Append rows to a table or array; those of a file under :func:`replacing` are compared when it is complete."""
    if isinstance(node._v_file, _NewFile):
        node._v_file.ledger.append(node, rows)
    else:
        node.append(rows)


@contextlib.contextmanager
def replacing(path, folder=None):
    """Write a new HDF5 file that takes the place of `path` when the block ends well, and not before.

    Yields the open file, under a temporary name in `folder` (default: that of `path`), which must be
    on the same file system.

    Raises
    ------
    OSError
        If something could not be written. The finished file is read again to be sure of it.
    """
    path = Path(path)
    # two machines may be at one file, where a worker that was lost lives on; and processes of them have one number
    unique = f"{uuid.uuid4().hex[:8]}.{os.getpid()}"
    temporary = Path(folder or path.parent) / f"{path.name}.{unique}{TEMPORARY}"
    try:
        with hdf5_errors(path):
            with _NewFile(temporary) as file:
                ledger = file.ledger
                yield file
                file.flush()
                expected = outline(file)
            with _written(temporary) as written:
                verify(written, expected, ledger)
            put_in_place(temporary, path)
    finally:
        remove(temporary)


def remove(path):
    """Remove a temporary file if it is there; one that can't be removed is no reason to fail."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def damage(path):
    """Raise whatever a damaged dataset makes PyTables raise on reading as one DatasetError that names the file."""
    try:
        yield
    except DatasetError:
        raise
    except MemoryError as err:
        raise DamagedDatasetError(path, "damaged: it asks for more memory than there is") from err
    except (tables.HDF5ExtError, tables.NodeError, OSError, ValueError, TypeError, LookupError, AttributeError) as err:
        reason = one_line(err) if not isinstance(err, tables.HDF5ExtError) else "HDF5 can't read it"
        raise DamagedDatasetError(path, f"damaged, or not a whole image_extractor dataset: {reason}") from err


@contextlib.contextmanager
def hdf5_errors(path):
    """Raise what HDF5 could not do as an OSError, in one line that names the file."""
    try:
        yield
    except tables.HDF5ExtError as err:
        found = re.findall(r"errno = (\d+)", " ".join(str(entry[-1]) for entry in err.h5backtrace or ()))
        number = int(found[0]) if found else errno.EIO
        raise OSError(number, os.strerror(number), str(path)) from err
    except OSError as err:
        if err.filename is not None or err.errno is None:
            raise
        raise OSError(err.errno, err.strerror, str(path)) from err


def put_in_place(finished, path):
    """Let a finished file take the place of `path`, on the same file system, so that it lasts."""
    with finished.open("rb") as written:
        os.fsync(written.fileno())
    finished.replace(path)
    sync_folder(path.parent)


def change_attributes(path, new, removed=()):
    """Set and remove attributes of the root of a finished file, and make sure that they got there."""
    with hdf5_errors(path):
        with open_file(path, "a") as file:
            for name in removed:
                if name in file.root._v_attrs:
                    del file.root._v_attrs[name]
            set_attributes(file.root, new)
            file.flush()
            expected = root_outline(file)
        with _written(path) as written:
            verify_root(written, expected)


def sync_folder(folder):
    """Make a rename last: the folder's entry, too, must reach the disk."""
    with contextlib.suppress(OSError):  # not every network file system can; the rename itself is still atomic
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class _PlainMixin:
    """Attributes of untrusted files: PyTables would unpickle whatever looks like a pickle, and so run its code."""

    def _g_list_attr(self, node):
        are_left_out = isinstance(node._v_file, _RowsFile) and node._v_pathname != "/"
        return [] if are_left_out else super()._g_list_attr(node)

    def _g_getattr(self, node, name):
        value = super()._g_getattr(node, name)
        looks_pickled = isinstance(value, np.bytes_) and value.endswith(b".")
        return bytes(value) if looks_pickled and isinstance(node._v_file, PlainFile) else value


for owner in (tables.Node, tables.node.NotLoggedMixin):  # for the files below alone; others are as ever
    owner._AttributeSet = type("_PlainAttributeSet", (_PlainMixin, owner._AttributeSet), {})


class FileName(str):
    """A file name that PyTables hands to HDF5 as it is; it would put ? in the place of bytes that are not UTF-8."""

    def encode(self, *_):
        """Return the bytes that the file system has."""
        return os.fsencode(str(self))


class PlainFile(tables.File):
    """An HDF5 file of which nothing is ever unpickled."""

    def __init__(self, path, mode="r", **options):
        # PyTables would keep 16 MB of chunks of every array, which are never asked for again
        try:
            super().__init__(FileName(path), mode, **({"chunk_cache_size": CHUNK_CACHE_BYTES} | options))
        except BaseException:
            self._forget()
            raise

    def _forget(self):
        """Let go of a file that was only opened half: PyTables would fail to close it at exit, with a traceback."""
        if self in tables.file._open_files.handlers:
            tables.file._open_files.remove(self)
            for root in self._node_manager.registry.values():
                vars(root)["_v_isopen"] = False
            with contextlib.suppress(tables.HDF5ExtError):
                self._close_file()


class _RowsFile(PlainFile):
    """A file of whose attributes only the root's are read: PyTables takes longer for others than to open the nodes."""

    def __init__(self, path, mode="r"):
        super().__init__(path, mode, pytables_sys_attrs=False)


class _NewFile(PlainFile):
    """A file that notes what is written to it."""

    def __init__(self, path):
        super().__init__(str(path), "w")
        self.ledger = Ledger()


def _written(path):
    """Open a file that has just been written."""
    try:
        return PlainFile(str(path))
    except tables.HDF5ExtError as err:
        raise incomplete() from err


def open_file(path, mode="r", kind=PlainFile):
    """Open an HDF5 file; one that is truncated, locked or no HDF5 file raises DatasetError in one line."""
    try:
        return kind(str(path), mode)
    except (tables.HDF5ExtError, OSError) as err:
        if mode != "r":
            with hdf5_errors(path):
                raise
        raise DatasetError(f"{path}: {why_no_file(path) if Path(path).is_dir() else _why_unreadable(err)}") from err


def _why_unreadable(err):
    if isinstance(err, FileNotFoundError):
        return "no such file"
    trace = str(getattr(err, "h5backtrace", ""))
    return "another process has it open for writing" if "unable to lock" in trace else "not a readable HDF5 file"


def open_dataset(path, rows_only=False):
    """Open a dataset of this package for reading; with `rows_only` soon, but attributes are the root's alone.

    Raises
    ------
    DatasetError
        If it is not one, or of a newer format.
    """
    file = open_file(path, kind=_RowsFile if rows_only else PlainFile)
    try:
        with damage(path):
            _check_format(file, path)
    except BaseException:
        file.close()
        raise
    return file


def _check_format(file, path):
    attributes = file.root._v_attrs
    found = re.fullmatch(r"(\d+)\.\d+", str(getattr(attributes, "format_version", "")))
    if str(getattr(attributes, "format", None)) != row_types.FORMAT_NAME or found is None:
        raise DatasetError(f"{path}: not an image_extractor dataset")
    if int(found[1]) > int(row_types.FORMAT_VERSION.split(".")[0]):
        raise DatasetError(
            f"{path}: format {found[0]} is newer than {row_types.FORMAT_VERSION}; update image_extractor"
        )


def check_kinds(file):
    """Raise DatasetError unless tables are there, and are tables: other nodes could hold Python objects.

    Of mapped storage, every telescope must have its array of images.
    """
    nodes = [file.root[row_types.TEL_TABLE], file.root[row_types.RUN_TABLE]]
    for group in events_groups(file):
        found = events_tables(group).values()
        if not found:
            raise DamagedDatasetError(file.filename, f"damaged: {group._v_pathname} has no {row_types.EVENTS}")
        nodes += found
    for node in nodes:
        if not isinstance(node, tables.Table):
            raise DatasetError(f"{file.filename}: {node._v_pathname} is no table")
    for group in events_groups(file):
        if any("tel_map" in table.colnames for table in events_tables(group).values()):
            missing = set(file.root[row_types.TEL_TABLE].col("tel_id").tolist()) - set(image_arrays(group))
            if missing:
                damage = f"damaged: {group._v_pathname}: the images of telescope {min(missing)} are missing"
                raise DamagedDatasetError(file.filename, damage)


def leaf(file, group, name, kind, n_rows=None):
    """Return a table or array of a file; raise DatasetError unless it is there and has (if given) so many rows."""
    with damage(file.filename):
        node = file.get_node(group, name)
        if not isinstance(node, kind) or n_rows not in (None, node.nrows):
            rows = "" if n_rows is None else f" of {n_rows} rows"
            raise DamagedDatasetError(file.filename, f"damaged: {node._v_pathname} is no {kind.__name__}{rows}")
    return node


def events_groups(file):
    """Return the groups that hold Events tables: /E0, /E1, ... or the root."""
    bins = {node._v_name[1:]: node for node in file.root._f_iter_nodes("Group") if node._v_name[0] == "E"}
    return [bins[number] for number in sorted(filter(str.isdigit, bins), key=int)] or [file.root]


def events_tables(group):
    """Return {name: table} of the Events tables of a group, in the order Events, Training, Validation, Test."""
    return {name: group._f_get_child(name) for name in row_types.EVENTS_TABLES if name in group}


def image_arrays(group):
    """Return {tel_id: array} of the image arrays of a group; empty in `all` storage."""
    nodes = {node._v_name: node for node in group._f_iter_nodes("Array") if node._v_name[:1] == "T"}
    return {int(name[1:]): node for name, node in nodes.items() if name[1:].isdigit()}
