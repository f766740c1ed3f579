"""The bins_cuts_dict: {(run number, event number): (bin, reconstructed energy in TeV)}, as arrays and as a file.

The file is a pickle, or an HDF5 file with the same as a table. It is opened and read once, and hashed as it is read:
what is known of it is of the same bytes, whatever becomes of the file meanwhile.
"""

import contextlib
import fcntl
import hashlib
import itertools
import os
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from .. import whole_files
from ..energy_bins import EnergyBins
from ..errors import ConfigError
from ..input_files import HDF5_SIGNATURE
from ..primaries import primary_name
from ..version import __version__
from .confined import load_pickle
from .entries import (
    COLUMNS,
    DTYPE,
    MARK,
    NODE,
    as_dict,
    as_rows,
    check,
    check_bins,
    check_once,
    check_primary,
    check_rows,
    order,
    reason,
    sha256_of,
)

FORMATS = ("pickle", "hdf5")

SOURCES_NODE = "source_files"

BLOCK_ROWS = 100_000


@dataclass(frozen=True, eq=False)
class Dictionary(Mapping):
    """A bins_cuts_dict: a read-only dict {(run number, event number): (bin, reconstructed energy in TeV)} in arrays.

    Attributes
    ----------
    runs : int64 array (n_runs,)
        The run numbers, sorted.
    starts : int64 array (n_runs + 1,)
        Entries starts[i] to starts[i + 1] are those of run i.
    events : int64 array (n_entries,)
        The event numbers, sorted within a run.
    bins : int32 array (n_entries,)
    energies : float64 array (n_entries,)
        Reconstructed energies [TeV].
    name : str
        That of its file; "dict" if it is of none.
    sha256 : str
        Of its file, else of its entries, hexadecimal.
    primary : int or None
        Whose events these are, by sim_telarray's numbers, if its file says so.
    """

    runs: np.ndarray
    starts: np.ndarray
    events: np.ndarray
    bins: np.ndarray
    energies: np.ndarray
    name: str
    sha256: str
    primary: int | None = None

    @classmethod
    def of_rows(cls, rows, *description):
        """Make one of checked rows in any order, and of name, sha256 and primary."""
        found = order(rows)
        run, event, index, energy = (rows[name][found] for name in DTYPE.names)
        runs, starts = np.unique(run, return_index=True)
        columns = (np.append(starts, len(rows)), *map(np.ascontiguousarray, (event, index, energy)))
        return cls(runs, *columns, *description)

    def __len__(self):
        return len(self.events)

    def __iter__(self):
        runs = np.repeat(self.runs, np.diff(self.starts))
        return zip(runs.tolist(), self.events.tolist(), strict=True)

    def __getitem__(self, key):
        try:
            run, event = key
            (position,) = self._positions(run, event)
        except (TypeError, ValueError):
            raise KeyError(key) from None
        return int(self.bins[position]), float(self.energies[position])

    def items(self):
        """Return the keys and values, sorted, as those of a dict."""
        return dict(zip(self, self._values(slice(None)), strict=True)).items()

    def of_run(self, run_number):
        """Return the entries of a run as a dict {event number: (bin, energy)}, the fastest for one event at a time."""
        entries = self._of(run_number)
        return dict(zip(self.events[entries].tolist(), self._values(entries), strict=True))

    def contains(self, run_numbers, event_numbers):
        """Say which events are in it, bool array (n_events,).

        run_numbers, event_numbers : int arrays (n_events,)
        """
        found = np.zeros(len(run_numbers), bool)
        for run_number in np.unique(run_numbers):
            of_run = run_numbers == run_number
            found[of_run] = np.isin(event_numbers[of_run], self.events[self._of(run_number)])
        return found

    def rows(self):
        """Return the entries as rows, sorted by run and event number."""
        rows = np.empty(len(self), DTYPE)
        columns = np.repeat(self.runs, np.diff(self.starts)), self.events, self.bins, self.energies
        for name, column in zip(DTYPE.names, columns, strict=True):
            rows[name] = column
        return rows

    def _of(self, run_number):
        """Return the slice of a run's entries, empty for a run that is not there."""
        first, last = (np.searchsorted(self.runs, run_number, side) for side in ("left", "right"))
        return slice(self.starts[first], self.starts[last])

    def _positions(self, run_number, event_number):
        """Return the positions of the entries with this key: one or none."""
        of_run = self._of(run_number)
        first, last = (np.searchsorted(self.events[of_run], event_number, side) for side in ("left", "right"))
        return range(of_run.start + first, of_run.start + last)

    def _values(self, entries):
        return zip(self.bins[entries].tolist(), self.energies[entries].tolist(), strict=True)


# -- reading --------------------------------------------------------------------------------------


def given(entries: Mapping, bins: EnergyBins | None = None) -> "Dictionary":
    """Return the :class:`Dictionary` of a dict; of a Dictionary, that of its entries alone.

    bins : EnergyBins, optional, that the entries must be in

    Raises ConfigError for the first wrong entry.
    """
    rows = entries.rows() if isinstance(entries, Dictionary) else check(entries)
    if bins:
        check_bins(rows, bins, "dict")
    return Dictionary.of_rows(rows, "dict", sha256_of(rows))


def load(path: str | Path, bins: EnergyBins | None = None) -> "Dictionary":
    """Read a bins_cuts_dict, a pickle or an HDF5 file.

    Parameters
    ----------
    path : str or Path
    bins : EnergyBins, optional
        Those that its entries must be in.

    Returns
    -------
    Dictionary

    Raises
    ------
    ConfigError
        If it can't be read, holds anything but plain values, or has a wrong entry, which is named.
    """
    try:
        with Path(path).open("rb", buffering=0) as file:
            is_hdf5 = file.read(len(HDF5_SIGNATURE)) == HDF5_SIGNATURE
            file.seek(0)
            rows, primary, sha256 = (_load_table if is_hdf5 else load_pickle)(file, path)
    except ConfigError:
        raise
    except OSError as err:
        raise ConfigError(f"{path}: the dictionary can't be read: {err.strerror or err}") from err
    except Exception as err:  # a broken pickle or HDF5 file raises errors of almost any kind
        raise ConfigError(f"{path}: refused as a bins_cuts_dict: {reason(err)}") from err
    if bins:
        check_bins(rows, bins, path)
    return Dictionary.of_rows(rows, Path(path).name, sha256, primary)


def _load_table(file, path):
    """Return rows, primary and SHA-256 of an HDF5 dictionary that is open."""
    _lock(file, path)
    image = file.readall()
    with _open_table(path, image) as table:
        rows = [check_rows(rows, path) for rows in _blocks(table)]
        primary = check_primary(table.attrs["primary"], path) if "primary" in table.attrs else None
    rows = np.concatenate([np.empty(0, DTYPE), *rows])
    check_once(rows, path)
    return rows, primary, hashlib.sha256(image).hexdigest()


def _lock(file, path):
    """Refuse a file that a program has open for writing, as HDF5 does where it opens a file itself."""
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError as err:
        raise ConfigError(f"{path}: refused as a bins_cuts_dict: Unable to open/create file '{path}'") from err
    except OSError:  # not every network file system has locks
        pass


@contextlib.contextmanager
def _open_table(path, image=None):
    """Open the table of an HDF5 dictionary as a context: of a file, or of its bytes."""
    import tables

    from ..hdf5.dataset_files import PlainFile

    with PlainFile(path, image=image) as file:
        table = file.root._f_get_child(NODE) if NODE in file.root else None
        if not isinstance(table, tables.Table):
            is_lookup = str(getattr(file.root._v_attrs, "format", "")).endswith("lookup tables")
            what = "lookup tables are given as --tables" if is_lookup else f"this HDF5 file has no table /{NODE}"
            raise ConfigError(f"{path}: refused as a bins_cuts_dict: {what}")
        missing = [name for name in DTYPE.names if name not in table.colnames]
        if missing:
            raise ConfigError(f"{path}: refused as a bins_cuts_dict: /{NODE} has no column {', '.join(missing)}")
        yield table


def _blocks(table):
    """Yield a table as structured arrays of at most BLOCK_ROWS rows."""
    for start in range(0, table.nrows, BLOCK_ROWS):
        yield table.read(start, start + BLOCK_ROWS)


# -- writing --------------------------------------------------------------------------------------


def save(path, entries, file_format="pickle", attributes=None, sources=(), primary=None):
    """Write a bins_cuts_dict, whole or not at all.

    Parameters
    ----------
    path : str or Path
        An existing file is replaced once the new one is complete and on disk.
    entries : dict, Dictionary, or rows as :mod:`entries` has them
        {(run number, event number): (bin, reconstructed energy in TeV)}, of built-in types.
    file_format : {"pickle", "hdf5"}
    attributes : dict, optional
        {name: str, int or float} that an HDF5 file keeps beside its version, time and source files.
    sources : iterable of str or Path, optional
        Names of the files that the entries come from; an HDF5 file keeps them.
    primary : int, optional
        Whose events these are, by sim_telarray's numbers; a file of either format keeps it.

    Raises
    ------
    ConfigError
        If it can't be written; what was there before is then as it was.
    """
    path = Path(path)
    entries = entries.rows() if isinstance(entries, Dictionary) else entries
    try:
        with whole_files.whole(path) as part:
            if file_format == "hdf5":
                named = {} if primary is None else {"primary": primary, "primary_name": primary_name(primary)}
                rows = as_rows(entries)
                _write_table(part, rows, (attributes or {}) | named, sources)
                _verify_table(part, rows)
            else:
                _write_pickle(part, as_dict(entries), primary)
    except Exception as err:  # PyTables has errors of its own for a full disk
        raise ConfigError(f"{path}: can't be written: {reason(err)}") from err


def _write_pickle(path, entries, primary):
    with path.open("wb") as file:
        pickler = pickle.Pickler(file, protocol=4)
        # no two entries share an object: remembering each of them takes more memory than the dictionary
        pickler.fast = True
        pickler.dump(entries)
        if primary is not None:
            pickle.dump({MARK: NODE, "primary": primary}, file, protocol=4)


def _write_table(path, rows, attributes, sources):
    import tables

    from ..hdf5.dataset_files import FileName

    # zlib, which every HDF5 library has
    filters = tables.Filters(complevel=1, complib="zlib", shuffle=True)
    with tables.open_file(FileName(path), "w", filters=filters) as file:
        table = file.create_table("/", NODE, DTYPE, "Events that pass the cuts", expectedrows=len(rows))
        table.append(rows)
        for position, (name, _, unit, description) in enumerate(COLUMNS):
            table.attrs[f"CTAFIELD_{position}_NAME"] = name
            table.attrs[f"CTAFIELD_{position}_DESC"] = description
            if unit:
                table.attrs[f"CTAFIELD_{position}_UNIT"] = unit
        versions = {"image_extractor_version": __version__, "tables_version": tables.__version__}
        now = {"created_utc": datetime.now(UTC).isoformat(timespec="seconds")}
        for name, value in {**versions, **now, **attributes}.items():
            table.attrs[name] = value
        names = [os.fsencode(source) for source in sources]
        if names:
            # a node, for an attribute holds no more than 64 kB
            file.create_array("/", SOURCES_NODE, np.array(names), "Files that the events come from")


def _verify_table(path, rows):
    """Read a table back: PyTables is silent about what HDF5 could not write on closing, as on a full disk."""
    meant = (rows[start : start + BLOCK_ROWS] for start in range(0, len(rows), BLOCK_ROWS))
    try:
        with _open_table(path) as table:
            whole = all(np.array_equal(*pair) for pair in itertools.zip_longest(_blocks(table), meant))
    except Exception as err:
        raise OSError("not all of it got there; is the disk full?") from err
    if not whole:
        raise OSError("what got there is something else; is the disk full?")
