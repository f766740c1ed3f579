"""The entries of a bins_cuts_dict: {(run number, event number): (bin, reconstructed energy in TeV)}, or rows of them.

Rows are a structured array of DTYPE, (n_entries,), in the order in which the entries were given.
"""

import hashlib
import itertools
import numbers
import sys
from operator import itemgetter

import numpy as np

from ..errors import ConfigError, one_line

#: The table of an HDF5 dictionary: name, type, unit, description of its columns, in order.
NODE = "bins_cuts_dict"
COLUMNS = (
    ("run_number", np.int64, "", "Run number"),
    ("event_number", np.int64, "", "Event number, the event_id of ctapipe"),
    ("bin", np.int32, "", "Energy bin, counted from 0"),
    ("reconstructed_energy", np.float64, "TeV", "Reconstructed energy"),
)
DTYPE = np.dtype([(name, kind) for name, kind, *_ in COLUMNS])

#: Key of what stands behind the dictionary of a pickle.
MARK = "image_extractor"

#: Numbers must be smaller, which is what datasets and tables can hold.
LARGEST, LARGEST_BIN, LARGEST_ENERGY = 2**63, 2**31, sys.float_info.max


# -- forms ----------------------------------------------------------------------------------------


def as_rows(entries):
    """Return the entries of a checked dictionary as rows; rows as they are."""
    if isinstance(entries, np.ndarray):
        return entries
    values = list(entries.values())
    rows = np.empty(len(entries), DTYPE)
    keys = np.fromiter(itertools.chain.from_iterable(entries), np.int64, 2 * len(entries)).reshape(-1, 2)
    rows["run_number"], rows["event_number"] = keys.T
    rows["bin"] = np.fromiter(map(itemgetter(0), values), np.int32, len(values))
    rows["reconstructed_energy"] = np.fromiter(map(itemgetter(1), values), np.float64, len(values))
    return rows


def as_dict(entries):
    """Return rows as a dict of built-in ints and floats; a dict as it is."""
    if isinstance(entries, dict):
        return entries
    run, event, index, energy = (entries[name].tolist() for name in DTYPE.names)
    return dict(zip(zip(run, event, strict=True), zip(index, energy, strict=True), strict=True))


def order(rows):
    """Return what sorts rows by run and event number: indices, or a slice where they are sorted.

    Rows of one key keep their order.
    """
    run, event = np.ascontiguousarray(rows["run_number"]), np.ascontiguousarray(rows["event_number"])
    is_next = (run[:-1] < run[1:]) | ((run[:-1] == run[1:]) & (event[:-1] < event[1:]))
    return slice(None) if is_next.all() else np.lexsort((event, run))


def first_of_key(rows):
    """Return the first row that has the key of each row, int array (n_rows,)."""
    numbers, found = np.arange(len(rows)), order(rows)
    run, event = rows["run_number"][found], rows["event_number"][found]
    is_new = np.ones(len(rows), bool)
    is_new[1:] = (run[1:] != run[:-1]) | (event[1:] != event[:-1])
    first = np.empty(len(rows), np.intp)
    first[found] = numbers[found][np.maximum.accumulate(np.where(is_new, numbers, 0))]
    return first


def sha256_of(rows):
    """Return the SHA-256 of the entries of a dictionary that is in no file, hexadecimal."""
    digest = hashlib.sha256()
    for run, event, index, energy in rows[order(rows)].tolist():
        digest.update(repr(((run, event), (index, energy))).encode())
    return digest.hexdigest()


# -- checks ---------------------------------------------------------------------------------------


def check(entries, name="bins_cuts_dict"):
    """Return the entries of a bins_cuts_dict as rows; raise ConfigError for the first wrong one."""
    if not isinstance(entries, dict):
        raise ConfigError(f"{name}: a bins_cuts_dict is a dict, this is a {type(entries).__name__}")
    if _is_plain(entries):
        return as_rows(entries)
    return as_rows(dict(_checked(key, value, name) for key, value in entries.items()))


def check_rows(rows, name):
    """Return what is read of a table as rows of DTYPE; raise ConfigError for the first that is wrong or comes twice."""
    wrong = np.flatnonzero(~_are_right(rows))
    for key, value in as_dict(rows[wrong[:1]]).items():
        _checked(key, value, name)
    checked = np.empty(len(rows), DTYPE)
    for column in DTYPE.names:
        checked[column] = rows[column]
    check_once(checked, name)
    return checked


def check_once(rows, name):
    """Raise ConfigError, naming the first that came before, if two rows have one key."""
    again = np.flatnonzero(first_of_key(rows) != np.arange(len(rows)))
    if len(again):
        raise ConfigError(f"{name}: {rows[again[0]].item()[:2]} comes twice")


def check_bins(rows, bins, name="bins_cuts_dict"):
    """Raise ConfigError, naming the first wrong entry, unless all bins and energies fit the configured ones.

    rows : structured array of DTYPE
    bins : EnergyBins
    """
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


def check_primary(primary, name):
    """Return the number of a particle that a dictionary tells; raise ConfigError if it is none."""
    if not _is_integer(primary) or abs(primary) >= LARGEST_BIN:
        raise ConfigError(
            f"{name}: refused as a bins_cuts_dict: its primary {_shown(primary)} is no number of a particle"
        )
    return int(primary)


def _checked(key, value, name):
    """Return an entry with built-in types; raise ConfigError if it is wrong."""
    if not (_is_pair(key) and all(_is_integer(number) and -LARGEST <= number < LARGEST for number in key)):
        raise ConfigError(f"{name}: key {_shown(key)}: must be (run number, event number)")
    if not (_is_pair(value) and _is_integer(value[0]) and 0 <= value[0] < LARGEST_BIN):
        raise ConfigError(f"{name}: {_shown(key)}: {_shown(value)}: must be (bin, reconstructed energy)")
    if not (_is_real(value[1]) and 0 <= value[1] <= LARGEST_ENERGY):
        raise ConfigError(f"{name}: {_shown(key)}: energy {_shown(value[1])}: must be a number of TeV, not negative")
    return (int(key[0]), int(key[1])), (int(value[0]), float(value[1]))


def _is_plain(entries):
    """Say whether all entries are right and of built-in types, which of millions is known sooner than one by one."""
    keys, values = list(entries), list(entries.values())
    if not all(type(pair) is tuple and len(pair) == 2 for pair in itertools.chain(keys, values)):
        return False
    key_parts, bins, energies = itertools.chain.from_iterable(keys), map(itemgetter(0), values), [v[1] for v in values]
    return (
        all(type(number) is int and -LARGEST <= number < LARGEST for number in key_parts)
        and all(type(index) is int and 0 <= index < LARGEST_BIN for index in bins)
        and all(type(energy) is float and 0 <= energy <= LARGEST_ENERGY for energy in energies)
    )


def _are_right(rows):
    """Say which rows of a table are entries, bool array (n_rows,); none are if a column is of another kind."""
    run, event, index, energy = (rows[name] for name in DTYPE.names)
    are_whole = all(column.dtype.kind in "iu" for column in (run, event, index))
    if not are_whole or energy.dtype.kind not in "iuf" or any(rows[name].ndim > 1 for name in DTYPE.names):
        return np.zeros(len(rows), bool)
    with np.errstate(over="ignore"):
        energy = energy.astype(np.float64)
    right = (run <= LARGEST - 1) & (event <= LARGEST - 1) & (index >= 0) & (index < LARGEST_BIN)
    return right & (energy >= 0) & np.isfinite(energy)


def _first_entry(rows, marked):
    """Return key, bin and energy of the first row that is marked."""
    *key, energy_bin, energy = rows[np.argmax(marked)].tolist()
    return tuple(key), energy_bin, energy


def _is_pair(value):
    return isinstance(value, tuple | list) and len(value) == 2


def _is_integer(value):
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _is_real(value):
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


# -- what messages say ----------------------------------------------------------------------------


def _shown(value):
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # too deep, or an integer of more digits than Python prints
        text = f"a nested {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "..."


def reason(err):
    """Return what an error says in one line; HDF5's own say it in the last one."""
    if isinstance(err, MemoryError):
        return "it asks for more memory than a dictionary of its size takes"
    lines = [line for line in str(getattr(err, "strerror", None) or err).splitlines() if line.strip()]
    if type(err).__name__ == "HDF5ExtError":
        return one_line(lines[-1])
    return one_line(" ".join(lines)) or type(err).__name__
