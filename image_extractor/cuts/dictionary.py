"""The bins_cuts_dict: {(run number, event number): (bin, reconstructed energy in TeV)}.

The file is a pickle, or an HDF5 file with the same as a table. Unpickling runs code, and these files
are passed around, so nothing but the types that such a dictionary is made of is ever built from one.
"""

import contextlib
import hashlib
import itertools
import numbers
import os
import pickle
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from .. import whole_files
from ..errors import ConfigError, one_line
from ..input_files import is_hdf5
from ..primaries import primary_name
from ..version import __version__

FORMATS = ("pickle", "hdf5")

#: The table of an HDF5 dictionary: name, type, unit, description of its columns, in order.
NODE = "bins_cuts_dict"
COLUMNS = (
    ("run_number", np.int64, "", "Run number"),
    ("event_number", np.int64, "", "Event number, the event_id of ctapipe"),
    ("bin", np.int32, "", "Energy bin, counted from 0"),
    ("reconstructed_energy", np.float64, "TeV", "Reconstructed energy"),
)
DTYPE = np.dtype([(name, kind) for name, kind, *_ in COLUMNS])
SOURCES_NODE = "source_files"

#: Key of what stands behind the dictionary of a pickle.
MARK = "image_extractor"

BLOCK_ROWS = 100_000

#: Numbers must be smaller, which is what datasets and tables can hold.
LARGEST, LARGEST_BIN, LARGEST_ENERGY = 2**63, 2**31, sys.float_info.max


class _Refused(pickle.UnpicklingError):
    """A pickle that holds what no bins_cuts_dict holds."""


class _Dtype:
    """Stands in for numpy.dtype while a NumPy scalar is unpickled: numbers and strings only."""

    def __init__(self, code, *_):
        self.code, self.order = str(code), "="

    def __setstate__(self, state):
        self.order = "<>"["<>".index(state[1])] if state[1] in ("<", ">") else "="


def _scalar(dtype, data):
    """Stands in for NumPy's scalar(): the Python number or string with these bytes."""
    if dtype.code[0] not in "ifubU" or len(data) > 1024:
        raise _Refused(f"a NumPy {dtype.code}")
    return np.frombuffer(data, np.dtype(dtype.code).newbyteorder(dtype.order), count=1)[0].item()


def _latin1(text, encoding):
    """Stands in for _codecs.encode, with which old pickle protocols write bytes."""
    if encoding != "latin1":
        raise _Refused(f"text encoded as {encoding}")
    return text.encode("latin1")


HARMLESS = {
    ("numpy", "dtype"): _Dtype,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("_codecs", "encode"): _latin1,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        if (module, name) in HARMLESS:
            return HARMLESS[module, name]
        raise _Refused(f"it holds {module}.{name}; only dict, tuple, list, int, float, str and NumPy scalars are read")


def load(path):
    """Read a bins_cuts_dict, a pickle or an HDF5 file.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    dict
        {(run number, event number): (bin, reconstructed energy)}, built-in ints and floats.

    Raises
    ------
    ConfigError
        If it can't be read, holds anything but plain values, or has a wrong entry, which is named.
    """
    return load_with_primary(path)[0]


def load_with_primary(path):
    """As :func:`load`; returns the dictionary and the primary whose events it has, None if the file does not say."""
    try:
        if is_hdf5(path):
            return _load_table(path), _primary_of_table(path)
        from .confined import load_pickle

        rows, primary = load_pickle(path)
        return _entries(rows), primary
    except ConfigError:
        raise
    except OSError as err:
        raise ConfigError(f"{path}: the dictionary can't be read: {err.strerror or err}") from err
    except Exception as err:  # a broken pickle or HDF5 file raises errors of almost any kind
        raise ConfigError(f"{path}: refused as a bins_cuts_dict: {_reason(err)}") from err


def unpickled(path):
    """Return what a pickle holds if that is plain values, and the primary or None.

    A hostile one may take all memory, or end the interpreter.
    """
    try:
        with Path(path).open("rb") as file:
            return _Unpickler(file).load(), _primary_behind(file)
    except _Refused as err:
        raise ConfigError(f"{path}: refused as a bins_cuts_dict: {err}") from err
    except Exception as err:  # a broken pickle raises errors of almost any kind
        reason = f"neither a pickle nor HDF5, or damaged: {_reason(err)}"
        raise ConfigError(f"{path}: refused as a bins_cuts_dict: {reason}") from err


def _primary_behind(file):
    """Return the primary that a pickle of its own behind the dictionary's tells, None if there is none.

    pickle.load reads the first one only: other readers see a dictionary.
    """
    if not file.peek(1):
        return None
    description = _Unpickler(file).load()
    if not isinstance(description, dict) or description.get(MARK) != NODE:
        return None
    return _checked_primary(description.get("primary"))


def _checked_primary(primary):
    if not _is_integer(primary) or abs(primary) >= LARGEST_BIN:
        raise _Refused(f"its primary {_shown(primary)} is no number of a particle")
    return int(primary)


def as_array(entries):
    """Return the entries of a checked dictionary as a structured array of DTYPE."""
    rows = np.empty(len(entries), DTYPE)
    keys, values = np.array(list(entries), np.int64).reshape(-1, 2), list(entries.values())
    rows["run_number"], rows["event_number"] = keys.T
    rows["bin"], rows["reconstructed_energy"] = [value[0] for value in values], [value[1] for value in values]
    return rows


def _entries(rows):
    run, event, index, energy = (rows[name].tolist() for name, *_ in COLUMNS)
    return dict(zip(zip(run, event, strict=True), zip(index, energy, strict=True), strict=True))


def _load_table(path):
    entries = {}
    with contextlib.closing(_table_blocks(path)) as blocks:
        for rows in blocks:
            block = _entries(rows)
            if len(block) < len(rows) or not entries.keys().isdisjoint(block.keys()):
                raise ConfigError(f"{path}: {_twice(entries, rows)} comes twice")
            entries.update(check(block, path))
    return entries


def _table_blocks(path):
    """Yield the table of an HDF5 dictionary as structured arrays of at most BLOCK_ROWS rows."""
    import tables

    from ..hdf5.dataset_files import PlainFile

    with PlainFile(path, "r") as file:
        table = file.root._f_get_child(NODE) if NODE in file.root else None
        if not isinstance(table, tables.Table):
            raise ConfigError(f"{path}: refused as a bins_cuts_dict: this HDF5 file has no table /{NODE}")
        missing = [name for name, *_ in COLUMNS if name not in table.colnames]
        if missing:
            raise ConfigError(f"{path}: refused as a bins_cuts_dict: /{NODE} has no column {', '.join(missing)}")
        for start in range(0, table.nrows, BLOCK_ROWS):
            yield table.read(start, start + BLOCK_ROWS)


def _primary_of_table(path):
    """Return the primary that an HDF5 dictionary tells, None if it does not."""
    from ..hdf5.dataset_files import PlainFile

    with PlainFile(path, "r") as file:
        attributes = file.root._f_get_child(NODE)._v_attrs
        return _checked_primary(attributes["primary"]) if "primary" in attributes else None


def _twice(entries, rows):
    """Return the first key of a block that came before."""
    seen = set()
    keys = zip(rows["run_number"].tolist(), rows["event_number"].tolist(), strict=True)
    return next(key for key in keys if key in entries or key in seen or seen.add(key))


def check(entries, name="bins_cuts_dict"):
    """Return the entries of a bins_cuts_dict with built-in types; raise ConfigError for the first wrong one."""
    if not isinstance(entries, dict):
        raise ConfigError(f"{name}: a bins_cuts_dict is a dict, this is a {type(entries).__name__}")
    checked = {}
    for key, value in entries.items():
        if not (_is_pair(key) and all(_is_integer(number) and -LARGEST <= number < LARGEST for number in key)):
            raise ConfigError(f"{name}: key {_shown(key)}: must be (run number, event number)")
        if not (_is_pair(value) and _is_integer(value[0]) and 0 <= value[0] < LARGEST_BIN):
            raise ConfigError(f"{name}: {_shown(key)}: {_shown(value)}: must be (bin, reconstructed energy)")
        if not (_is_real(value[1]) and 0 <= value[1] <= LARGEST_ENERGY):
            raise ConfigError(
                f"{name}: {_shown(key)}: energy {_shown(value[1])}: must be a number of TeV, not negative"
            )
        checked[int(key[0]), int(key[1])] = (int(value[0]), float(value[1]))
    return checked


def check_bins(entries, bins, name="bins_cuts_dict"):
    """Raise ConfigError, naming the first wrong entry, unless all bins and energies fit the configured ones.

    entries : dict, checked
    bins : EnergyBins
    """
    rows = as_array(entries)
    outside = rows["bin"] >= bins.n_bins
    if outside.any():
        key, energy_bin, _ = _first_entry(rows, outside)
        raise ConfigError(
            f"{name}: {key}: bin {energy_bin} is not among the {bins.n_bins} of [energy_bins], 0 to {bins.n_bins - 1}"
        )
    wrong = ~bins.contain(rows["bin"], rows["reconstructed_energy"])
    if wrong.any():
        key, energy_bin, energy = _first_entry(rows, wrong)
        edges = bins.describe(energy_bin)
        raise ConfigError(
            f"{name}: {key}: {energy:.6g} TeV is not in bin {energy_bin} of [energy_bins], {edges}; "
            f"so are {np.count_nonzero(wrong)} of {len(rows)} entries: must be TeV, and in the bins it was made with"
        )


def _first_entry(rows, marked):
    """Return key, bin and energy of the first row that is marked."""
    *key, energy_bin, energy = rows[np.argmax(marked)].tolist()
    return tuple(key), energy_bin, energy


def save(path, entries, file_format="pickle", attributes=None, sources=(), primary=None):
    """Write a bins_cuts_dict, whole or not at all.

    Parameters
    ----------
    path : str or Path
        An existing file is replaced once the new one is complete and on disk.
    entries : dict
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
    try:
        with whole_files.whole(path) as part:
            if file_format == "hdf5":
                named = {} if primary is None else {"primary": primary, "primary_name": primary_name(primary)}
                _write_table(part, entries, (attributes or {}) | named, sources)
                _verify_table(part, entries)
            else:
                _write_pickle(part, entries, primary)
    except Exception as err:  # PyTables has errors of its own for a full disk
        raise ConfigError(f"{path}: can't be written: {_reason(err)}") from err


def _write_pickle(path, entries, primary):
    with path.open("wb") as file:
        pickler = pickle.Pickler(file, protocol=4)
        # no two entries share an object: remembering each of them takes more memory than the dictionary
        pickler.fast = True
        pickler.dump(entries)
        if primary is not None:
            pickle.dump({MARK: NODE, "primary": primary}, file, protocol=4)


def _write_table(path, entries, attributes, sources):
    import tables

    from ..hdf5.dataset_files import FileName

    # zlib, which every HDF5 library has
    filters = tables.Filters(complevel=1, complib="zlib", shuffle=True)
    with tables.open_file(FileName(path), "w", filters=filters) as file:
        table = file.create_table("/", NODE, DTYPE, "Events that pass the cuts", expectedrows=len(entries))
        for rows in _entry_blocks(entries):
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


def _entry_blocks(entries):
    """Yield a dictionary as structured arrays of at most BLOCK_ROWS rows."""
    items = ((*key, *value) for key, value in entries.items())
    while rows := list(itertools.islice(items, BLOCK_ROWS)):
        yield np.array(rows, dtype=DTYPE)


def _verify_table(path, entries):
    """Read a table back: PyTables is silent about what HDF5 could not write on closing, as on a full disk."""
    try:
        with contextlib.closing(_table_blocks(path)) as blocks:
            pairs = itertools.zip_longest(blocks, _entry_blocks(entries))
            whole = all(np.array_equal(stored, meant) for stored, meant in pairs)
    except Exception as err:
        raise OSError("not all of it got there; is the disk full?") from err
    if not whole:
        raise OSError("what got there is something else; is the disk full?")


def sha256(path):
    """Return the SHA-256 of a file, hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of(entries):
    """Return the SHA-256 of the entries of a dictionary that is in no file, hexadecimal."""
    digest = hashlib.sha256()
    for entry in sorted(entries.items()):
        digest.update(repr(entry).encode())
    return digest.hexdigest()


def _is_pair(value):
    return isinstance(value, tuple | list) and len(value) == 2


def _is_integer(value):
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _is_real(value):
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _shown(value):
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # too deep, or an integer of more digits than Python prints
        text = f"a nested {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "..."


def _reason(err):
    """Return what an error says in one line; HDF5's own say it in the last one."""
    if isinstance(err, MemoryError):
        return "it asks for more memory than a dictionary of its size takes"
    lines = [line for line in str(getattr(err, "strerror", None) or err).splitlines() if line.strip()]
    if type(err).__name__ == "HDF5ExtError":
        return one_line(lines[-1])
    return one_line(" ".join(lines)) or type(err).__name__
