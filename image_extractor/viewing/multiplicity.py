"""How many telescopes have an image of an event, in a dataset or a simtel file; and the command plot_numtel.py."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..cuts import dictionary
from ..errors import InputError
from ..input_files import is_hdf5, why_no_file
from ..terminal.text_table import aligned

ALL_TYPES = "all types"


@dataclass(frozen=True, eq=False)
class Multiplicity:
    """Numbers of telescopes with images.

    Attributes
    ----------
    n_telescopes : {telescope type: number of telescopes}, 'all types' first
    counts : {'all': {type: int array (n_telescopes + 1,)}, 'passing': ...}
        counts['all']['LST'][2] is the number of events with images of two LSTs. 'passing' are the
        events of a bins_cuts_dict, and absent without one.
    """

    n_telescopes: dict
    counts: dict

    @property
    def types(self):
        """Types to be shown, 'all types' first where there are several."""
        types = list(self.n_telescopes)
        return types[1:] if len(types) == 2 else types

    def mean(self, events, tel_type):
        """Return the mean number of telescopes of a type in 'all' or 'passing' events, NaN without events."""
        counts = self.counts[events][tel_type]
        return float(counts @ np.arange(len(counts)) / counts.sum()) if counts.any() else float("nan")

    def n_events(self, events):
        """Return the number of 'all' or 'passing' events."""
        return int(self.counts[events][ALL_TYPES].sum())


def count_telescopes(path, bins_cuts_dict=None):
    """Count the telescopes with images of each event.

    Parameters
    ----------
    path : str or Path
        A dataset, or a simtel file; of this, all telescopes, without calibration.
    bins_cuts_dict : Dictionary or dict, optional
        {(run number, event number): (bin, reconstructed energy)}: says which events pass.

    Returns
    -------
    Multiplicity

    Raises
    ------
    DatasetError, InputError
        If the file is neither, or damaged.
    """
    blocks, types = (_dataset_blocks if _is_dataset(path) else _simtel_blocks)(path)
    passing = dictionary.given(bins_cuts_dict) if isinstance(bins_cuts_dict, dict) else bins_cuts_dict
    members = {ALL_TYPES: np.ones(len(types), bool)}
    members |= {name: np.array([tel_type == name for tel_type in types]) for name in dict.fromkeys(types)}
    n_telescopes = {name: int(columns.sum()) for name, columns in members.items()}
    kinds = ["all"] if passing is None else ["all", "passing"]
    counts = {kind: {name: np.zeros(n + 1, np.int64) for name, n in n_telescopes.items()} for kind in kinds}
    for run_numbers, event_numbers, has_image in blocks:
        chosen = {"all": slice(None)}
        if passing is not None:
            chosen["passing"] = passing.contains(run_numbers, event_numbers)
        for name, columns in members.items():
            numbers = has_image[:, columns].sum(axis=1)
            for kind, rows in chosen.items():
                counts[kind][name] += np.bincount(numbers[rows], minlength=n_telescopes[name] + 1)
    return Multiplicity(n_telescopes, counts)


def _is_dataset(path):
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: {why_no_file(path)}")
    return is_hdf5(path)


def _dataset_blocks(path):
    """Return a dataset's blocks and the types of its telescopes.

    Blocks are (run numbers, event numbers, bool array (n_events, n_telescopes): where there is an image).
    """
    from ..hdf5.image_places import has_image
    from .event_images import open_events, row_blocks

    with open_events(path) as dataset:
        types = [tel_type.decode() for tel_type in dataset.tel_table["tel_type"]]

    def blocks():
        with open_events(path) as dataset:
            for table in dataset.tables():
                for _, rows in row_blocks(table):
                    yield rows["run_number"], rows["event_number"], has_image(rows)

    return blocks(), types


def _simtel_blocks(path):
    """Return the same of the shower events of a simtel file, an event at a time."""
    from .. import telescopes
    from ..inputs.simtel.open_run import open_run, open_runs

    with open_run(path) as run:
        selected = telescopes.select(run.subarray, "ALL")

    tel_ids = np.array(sorted(tel_id for ids in selected.values() for tel_id in ids))
    type_of = {tel_id: name for name, ids in selected.items() for tel_id in ids}

    def blocks():
        with open_runs(path) as runs:
            for run in runs:
                if telescopes.select(run.subarray, "ALL") != selected:
                    raise InputError(f"{path}: its runs have different telescopes: not to be counted together")
                run.select(tel_ids.tolist(), lambda *_: True)
                for event in run:
                    has_image = np.isin(tel_ids, list(event.r1.tel))
                    yield np.array([event.index.obs_id]), np.array([event.index.event_id]), has_image[np.newaxis]
                run.check_end()

    return blocks(), [type_of[tel_id] for tel_id in tel_ids.tolist()]


# -- what people see -----------------------------------------------------------------------------------


def table(multiplicity):
    """Return the distribution as lines of an aligned text table."""
    kinds, types = list(multiplicity.counts), multiplicity.types
    columns = [(name, kind) for name in types for kind in kinds]
    header = ["telescopes", *(f"{name}" if kind == "all" else kind for name, kind in columns)]
    rows = [header]
    for number in range(multiplicity.n_telescopes[ALL_TYPES] + 1):
        values = [multiplicity.counts[kind][name][number : number + 1] for name, kind in columns]
        if any(value.any() for value in values):
            rows.append([str(number), *(str(value[0]) if len(value) else "" for value in values)])
    rows.append(["events", *(str(multiplicity.n_events(kind)) for _, kind in columns)])
    means = [multiplicity.mean(kind, name) for name, kind in columns]
    rows.append(["mean", *("-" if math.isnan(mean) else f"{mean:.2f}" for mean in means)])
    return aligned(rows)
