"""Opening HDF5 files that nobody vouches for: nothing in them is unpickled, and what is damaged is said in one line."""

import contextlib
import errno
import os
import re
from pathlib import Path

import tables

from ..errors import DamagedDatasetError, DatasetError, one_line
from ..input_files import why_no_file
from . import schema
from .pytables_patches import FileName, NoFileName, PatchedFile

#: Bytes of chunks that HDF5 keeps of every table and array of an open file.
CHUNK_CACHE_BYTES = 1 << 18


#: What PyTables raises, besides its own errors, where a file holds what it does not expect.
_OF_DAMAGE = (
    ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RuntimeError, SystemError, AssertionError,
)  # fmt: skip


@contextlib.contextmanager
def damage(path):
    """Raise whatever a damaged dataset makes PyTables raise on reading as one DatasetError that names the file."""
    try:
        yield
    except DatasetError:
        raise
    except MemoryError as err:
        raise DamagedDatasetError(path, "damaged: it asks for more memory than there is") from err
    except (tables.HDF5ExtError, tables.NodeError, OSError, *_OF_DAMAGE) as err:
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


class PlainFile(PatchedFile):
    """An HDF5 file of which nothing is ever unpickled; with `image` what is read is these bytes, not the file."""

    #: Checksums against which what is read is held, None: it is not.
    seal = None

    def __init__(self, path, mode="r", image=None, **options):
        name = FileName(path) if image is None else NoFileName(path)
        if image is not None:
            options |= {"driver": "H5FD_CORE", "driver_core_image": image, "driver_core_backing_store": 0}
        # PyTables would keep 16 MB of chunks of every array, which are never asked for again
        super().__init__(name, mode, **({"chunk_cache_size": CHUNK_CACHE_BYTES} | options))


class _RowsFile(PlainFile):
    """A file of whose attributes only the root's are read: PyTables takes longer for others than to open the nodes."""

    def __init__(self, path, mode="r"):
        super().__init__(path, mode, root_only=True, pytables_sys_attrs=False)


class NewFile(PlainFile):
    """A file that notes what is written to it."""

    def __init__(self, path):
        from .checksums import Ledger

        super().__init__(str(path), "w")
        self.ledger = Ledger()


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


def open_dataset(path, rows_only=False, verify=False):
    """Open a dataset of this package for reading; with `rows_only` soon, but attributes are the root's alone.

    With `verify` its attributes are held against its checksums, and its rows when they are read; datasets of older
    formats have none, and their ``seal`` is None.

    Raises
    ------
    DatasetError
        If it is not one, or of a newer format; DamagedDatasetError if it is not what was written.
    """
    file = open_file(path, kind=_RowsFile if rows_only else PlainFile)
    try:
        with damage(path):
            _check_format(file, path)
            if verify:
                file.seal = seal_of(file)
                if file.seal and not rows_only:
                    file.seal.check_nodes(file)
    except BaseException:
        file.close()
        raise
    return file


def seal_of(file):
    """Return the checksums of an open dataset, None if it is of a format that had none."""
    from .checksums import Seal  # readers for training need its library only if they verify

    found = Seal.read(file)
    if found is None and schema.has_checksums(file):
        raise DamagedDatasetError(file.filename, "damaged: its checksums are missing")
    return found


def _check_format(file, path):
    attributes = file.root._v_attrs
    found = re.fullmatch(r"(\d+)\.\d+", str(getattr(attributes, "format_version", "")))
    if str(getattr(attributes, "format", None)) != schema.FORMAT_NAME or found is None:
        raise DatasetError(f"{path}: not an image_extractor dataset")
    if int(found[1]) > int(schema.FORMAT_VERSION.split(".")[0]):
        raise DatasetError(f"{path}: format {found[0]} is newer than {schema.FORMAT_VERSION}; update image_extractor")
