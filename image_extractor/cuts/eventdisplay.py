"""EventDisplay's mscw files: from the tree `data` to a bins_cuts_dict.

Only the branches that a cut needs are read, by name (some versions book names twice) and block by
block, so that memory does not grow with the files.
"""

import bisect
import contextlib

import numpy as np

from .. import config
from ..errors import ConfigError, InputError, one_line
from .entries import DTYPE, first_of_key
from .preselection import ENERGY, EVENT, RUN, CutFlow, branches_of, preselection_cuts, select

TREE = "data"

BLOCK_ROWS = 200_000

#: The branch that is meant for the primary, by sim_telarray's numbers, and what it holds where nobody filled it.
PRIMARY, NO_PRIMARY = "MCprimary", -99

#: Branches of whole numbers.
WHOLE = (RUN, EVENT, PRIMARY)


# -- reading --------------------------------------------------------------------------------------


def need_uproot():
    try:
        import uproot
    except ImportError as err:
        raise ConfigError("prepare_cuts_dict.py needs uproot: pip install '.[scripts]'") from err
    return uproot


@contextlib.contextmanager
def _readable(path):
    """Name the file in whatever uproot raises, in one line."""
    try:
        yield
    except (InputError, ConfigError, MemoryError):
        raise
    except Exception as err:  # a broken ROOT file raises errors of almost any kind
        reason = getattr(err, "strerror", None) or one_line(err) or type(err).__name__
        raise InputError(f"{path}: can't be read as a ROOT file: {reason}") from err


@contextlib.contextmanager
def open_tree(path, branches):
    """Open the tree of an mscw file as a context, after a check that it can be read whole.

    Parameters
    ----------
    path : Path
    branches : list of str
        Names that it must have, with one number per event.

    Raises
    ------
    InputError
        If the file is no ROOT file or cut short, or has no tree `data` with these branches.
    """
    uproot = need_uproot()
    with _readable(path), contextlib.ExitStack() as stack:
        # a dict, and no fsspec: neither a colon nor a # in a file's name has a meaning
        file = stack.enter_context(
            uproot.open({str(path): None}, handler=uproot.MultithreadedFileSource, object_cache=None, array_cache=None)
        )
        _check_length(path, file.file.fEND)
        names = file.keys(recursive=False, cycle=False)
        if TREE not in names or file.classname_of(TREE) != "TTree":
            found = f"it has {one_line(', '.join(sorted(set(names))))}" if names else "it is empty"
            raise InputError(f"{path}: no tree '{TREE}', {found}; is this a mscw file of EventDisplay?")
        tree = file[TREE]
        for name in branches:
            _check_branch(uproot, path, tree, name)
        yield tree


def _check_length(path, expected):
    """Refuse a file that a broken copy cut short: uproot may still find the beginning of the tree in it."""
    size = path.stat().st_size
    if size < expected:
        raise InputError(f"{path}: truncated: {size} bytes of {expected}; copy or make it again")


def _check_branch(uproot, path, tree, name):
    if name not in {branch.name for branch in tree.branches}:
        hint = (
            "real data have no MC* branches: set MC_Offset = MCxoff, MCyoff, None, None to do without"
            if name.startswith("MC")
            else "see [preselection_cuts]: a cut with None, None needs no branch"
            if name not in (RUN, EVENT, ENERGY)
            else "every dictionary needs it"
        )
        raise InputError(f"{path}: tree '{TREE}' has no branch {name}; {hint}")
    kind = tree[name].interpretation
    allowed = "iu" if name in WHOLE else "iufb"
    is_scalar = isinstance(kind, uproot.AsDtype) and kind.to_dtype.shape == () and kind.to_dtype.fields is None
    if not is_scalar or kind.to_dtype.kind not in allowed:
        wanted = "a whole number" if name in WHOLE else "one number"
        raise InputError(f"{path}: branch {name} is {tree[name].typename}, must be {wanted} per event")


def read_blocks(path, branches, block_rows=BLOCK_ROWS):
    """Yield an mscw file as blocks {branch: array (n_events,)}, of at most `block_rows` events each.

    Raises
    ------
    InputError
        As :func:`open_tree`, or if the data are damaged.
    """
    with open_tree(path, branches) as tree:
        blocks = tree.iterate(branches, library="np", step_size=block_rows)
        while True:
            # what the caller does with a block is outside: its errors are not the file's
            with _readable(path):
                block = next(blocks, None)
            if block is None:
                return
            yield block


def primaries_of(path):
    """Return the primaries that a mscw file knows of its events: none, for all versions so far store NO_PRIMARY."""
    found = set()
    with open_tree(path, []) as tree:
        if PRIMARY not in {branch.name for branch in tree.branches}:
            return found
        _check_branch(need_uproot(), path, tree, PRIMARY)
    for block in read_blocks(path, [PRIMARY]):
        found.update(np.unique(block[PRIMARY]).tolist())
    return found - {NO_PRIMARY}


def count_events(files, branches):
    """Check every file before any is read, and return the number of their events.

    Raises
    ------
    InputError
        As :func:`open_tree`, or if there are no events at all.
    """
    n_events = 0
    for path in files:
        with open_tree(path, branches) as tree:
            n_events += tree.num_entries
    if not n_events:
        others = f", nor in the {len(files) - 1} other files" if len(files) > 1 else ""
        raise InputError(f"{files[0]}: no events in the tree '{TREE}'{others}")
    return n_events


# -- the dictionary -------------------------------------------------------------------------------


def build(files, settings, progress=None, block_rows=BLOCK_ROWS):
    """Make a bins_cuts_dict of mscw files.

    Parameters
    ----------
    files : list of Path
    settings : dict
        As :mod:`image_extractor.config` makes them: [preselection_cuts] and [energy_bins] are used.
    progress : callable, optional
        Called after each block with the number of its events, and that of all files.
    block_rows : int, optional
        Events in memory at once.

    Returns
    -------
    rows : structured array of `entries.DTYPE`, (n_entries,)
        The events that pass, each once, in the order of the files.
    flows : dict
        {file: CutFlow}

    Raises
    ------
    InputError
        As :func:`count_events`, or if an event comes twice with different values.
    """
    selection, bins = preselection_cuts(settings), config.dictionary_bins(settings)
    branches = branches_of(selection)
    passing, flows, ends = [np.empty(0, DTYPE)], {}, []
    n_events = count_events(files, branches)
    for path in files:
        flows[path] = CutFlow(np.zeros(bins.n_bins, dtype=np.int64))
        for block in read_blocks(path, branches, block_rows):
            rows, flow = select(block, selection, bins)
            passing.append(rows)
            flows[path] += flow
            if progress:
                progress(flow.read, n_events)
        ends.append(sum(map(len, passing)))
    return unrepeated(np.concatenate(passing), files, ends, flows), flows


def unrepeated(rows, files, ends, flows):
    """Return rows of files without those that come again, which are counted in the flows.

    Parameters
    ----------
    rows : structured array of `entries.DTYPE`, (n_rows,)
    files : list of str or Path
    ends : list of int
        The number of rows when each file ends.
    flows : dict
        {file: CutFlow}

    Raises
    ------
    InputError
        If an event comes again with another bin or energy.
    """
    first = first_of_key(rows)
    _check_repeated(rows, first, files, ends)
    repeated = first != np.arange(len(rows))
    for path, of_file in zip(files, np.split(repeated, ends), strict=False):
        flows[path].repeated = int(np.count_nonzero(of_file))
    return rows[~repeated]


def _check_repeated(rows, first, files, ends):
    """Raise InputError if an event comes again with another bin or energy.

    first : int array (n_rows,), the first row with the key of each
    ends : list of int, the number of rows when each file ends
    """
    values = rows[["bin", "reconstructed_energy"]]
    differ = np.flatnonzero(values != values[first])
    if len(differ):
        run, event, *_ = rows[differ[0]].item()
        where = " and ".join(
            "bin {}, {!r} TeV in {}".format(*values[row].item(), files[bisect.bisect_right(ends, row)])
            for row in (first[differ[0]], differ[0])
        )
        raise InputError(
            f"run {run}, event {event} comes twice with different values: {where}; "
            "runs of different particles share numbers: build one dictionary per particle type"
        )
