"""Is a dataset what was written, and what it says it is? Every row and image is held against its checksum, then read
and accounted for, in one pass over each.

Rows are looked at in blocks, so memory does not grow with them, but for 8 bytes per event and one per
image, which is what it takes to find those that are there twice.
"""

import os

import numpy as np

from .. import config
from ..events import mixing, same_events
from ..hdf5 import dataset_files, nodes, older_formats, schema
from ..hdf5.image_places import has_image
from ..mapping import images
from ..primaries import primary_name
from ..terminal.text_table import plural
from .event_images import DamagedDatasetError, open_events, row_blocks
from .image_checks import Faults, ImageColumns, ImageRows
from .parameter_checks import ImageCounts, ParameterChecks


def check(path):
    """Verify a dataset.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    problems : list of str
        One line for each kind of thing that is wrong in a table, with the number of cases and the first one.
    n_events, n_images : int

    Raises
    ------
    DatasetError
        If the file is no dataset.
    """
    try:
        check_checksums(path)
        with open_events(path) as dataset:
            problems = [*_camera_problems(dataset), *_node_problems(dataset)]
            # rows can't be followed through nodes that do not fit
            return (problems, 0, 0) if problems else _check_rows(dataset)
    except DamagedDatasetError as err:
        return [err.damage], 0, 0


def check_checksums(path):
    """Raise DamagedDatasetError unless a dataset is, in all its parts, what was written; older formats can't tell."""
    with dataset_files.damage(path), dataset_files.open_dataset(path) as file:
        seal = dataset_files.seal_of(file)
        if seal:
            seal.check(file)


def _check_rows(dataset):
    runs = RunCounts(dataset)
    checks = [runs, Repeats(dataset), Bins(dataset), *([Observed()] if dataset.is_observed else [])]
    checks.append(ImageRows(dataset) if dataset.is_mapped else ImageColumns(dataset))
    checks.append(ParameterChecks(dataset) if dataset.settings["parameters"]["store"] else ImageCounts(dataset))
    for table in dataset.tables():
        for first, rows in row_blocks(table):
            for each in checks:
                each.add(table, first, rows)
    problems = [problem for each in checks for problem in each.problems()]
    return problems, runs.n_events, runs.n_images


# -- telescopes, cameras, nodes: what must fit before rows make sense ------------------------------------


def _camera_problems(dataset):
    """Yield what does not fit between Tel_Table and /Cameras, and within a camera."""
    ids = dataset.tel_table["tel_id"]
    if not len(ids):
        yield "/Tel_Table: no telescope"
    if np.any(np.diff(ids) <= 0):
        yield "/Tel_Table: tel_id is not ascending, or there twice"
    for telescope in dataset.tel_table:
        name, where = telescope["camera"].decode(), f"/Tel_Table: telescope {telescope['tel_id']}"
        if name not in dataset.cameras:
            yield f"{where}: /Cameras has no entry {name}"
        elif len(dataset.cameras[name].pixels) != telescope["n_pixels"]:
            n_pixels = len(dataset.cameras[name].pixels)
            yield f"{where}: n_pixels is {telescope['n_pixels']}, /Cameras/{name} has {n_pixels}"
    for name, camera in dataset.cameras.items():
        for problem in _pixel_problems(camera):
            yield f"/Cameras/{name}: {problem}"


def _pixel_problems(camera):
    missing = {"array_shape", "mapping", "pixel_shape"}.difference(camera.attributes)
    if missing:
        yield f"the attribute {min(missing)} is missing"
        return
    x, y = camera.pixels["array_x"].astype(np.int64), camera.pixels["array_y"].astype(np.int64)
    if not np.array_equal(camera.pixels["pixel_id"], np.arange(len(x))):
        yield "pixel_id does not count from 0"
    outside = (x < 0) | (y < 0) | (x >= camera.shape[0]) | (y >= camera.shape[1])
    if outside.any():
        yield f"{plural(outside.sum(), 'pixel')} outside the array of {camera.shape[0]} x {camera.shape[1]} cells"
    elif camera.is_lossless and len(np.unique(x * camera.shape[1] + y)) < len(x):
        yield "two pixels share a cell of the array"


def _node_problems(dataset):
    """Yield which groups, tables and image arrays are missing or do not fit the settings."""
    bins = config.energy_bins(dataset.settings)
    groups = {group._v_name: group for group in nodes.events_groups(dataset.file)}
    expected = schema.energy_groups(dataset.settings, bins.n_bins)
    expected = expected if expected != [""] else ["/"]
    for name in [name for name in expected if name not in groups]:
        yield f"/{name}: the group is missing; the settings have {bins.n_bins} energy bins"
    for name in [name for name in groups if name not in expected]:
        yield f"{groups[name]._v_pathname}: the settings have no such energy bin"
    for name, group in groups.items():
        if dataset.settings["mode"] == "gh_class" and name in expected:
            yield from _edge_problems(group, bins)
        events_tables = nodes.events_tables(group)
        if not events_tables:
            yield f"{group._v_pathname}: no table {schema.EVENTS}"
        for table in events_tables.values():
            yield from _column_problems(dataset, table)
        if dataset.is_mapped:
            yield from _array_problems(dataset, group)


def _edge_problems(group, bins):
    edges = bins.edges[int(group._v_name[1:]) :][:2]
    given = [getattr(group._v_attrs, name, np.nan) for name in ("min_energy", "max_energy")]
    if not np.allclose(edges, given, rtol=0, atol=1e-9 * max(1.0, float(np.abs(edges).max()))):
        yield f"{group._v_pathname}: its edges are {given[0]} and {given[1]}, the settings' {edges[0]} and {edges[1]}"


def _column_problems(dataset, table):
    grids = {int(row["tel_id"]): dataset.cameras.get(row["camera"].decode()) for row in dataset.tel_table}
    if None in grids.values():
        return  # said already
    shapes = {tel_id: images.array_shape(grid, dataset.settings["image"]) for tel_id, grid in grids.items()}
    has_own_pointing = schema.TEL_POINTING in table.colnames
    columns = schema.event_columns(dataset.settings, shapes, has_own_pointing, dataset.is_observed)
    for name, kind, *_ in older_formats.event_columns(dataset.file, columns):
        expected = schema.dtype([(name, kind)])[name]
        if name not in table.colnames:
            yield f"{table._v_pathname}: the column {name} is missing"
        elif table.dtype[name] != expected:
            yield f"{table._v_pathname}: the column {name} holds {table.dtype[name]}, not {expected}"


def _array_problems(dataset, group):
    arrays, image_settings = nodes.image_arrays(group), dataset.settings["image"]
    for telescope in dataset.tel_table:
        tel_id, camera = int(telescope["tel_id"]), dataset.cameras.get(telescope["camera"].decode())
        where = f"{group._v_pathname.rstrip('/')}/{schema.image_name(tel_id)}"
        if tel_id not in arrays:
            yield f"{where}: the image array is missing"
        elif camera is not None:
            expected = np.dtype(image_settings["dtype"]), images.array_shape(camera, image_settings)
            found = arrays[tel_id].atom.dtype, arrays[tel_id].shape[1:]
            if found != expected:
                yield f"{where}: images of {found[0]} {found[1]}, not {expected[0]} {expected[1]}"
    for tel_id in sorted(set(arrays) - set(dataset.tel_table["tel_id"].tolist())):
        yield f"{group._v_pathname.rstrip('/')}/{schema.image_name(tel_id)}: Tel_Table has no telescope {tel_id}"


# -- checks of rows: add() every block, then problems() ----------------------------------------------------


class RunCounts:
    """Events, images and reconstructed energies of each run, against Run_Table.

    Format 1.0 tells runs apart by number and primary only: those that share both are counted together.
    """

    def __init__(self, dataset):
        runs = dataset.runs
        self._table = runs
        self._runs, self._group = runs, np.arange(len(runs))
        if not schema.has_run_index(dataset.file):
            self._runs, first, group = np.unique(
                runs[["run_number", "primary"]], return_index=True, return_inverse=True
            )
            self._runs, self._group = runs[first], group.ravel()
        self._is_observed = dataset.is_observed
        self._gamma_only = dataset.settings["mode"] == "energy_recon" and dataset.settings["energy_recon"]["gamma_only"]
        self._counts = np.zeros((3, len(self._runs)), np.int64)
        self._faults = Faults()

    @property
    def n_events(self):
        """Rows seen."""
        return int(self._counts[0].sum())

    @property
    def n_images(self):
        """Images that rows have."""
        return int(self._counts[1].sum())

    def add(self, table, first, rows):
        """Count a block of rows."""
        n_images = has_image(rows).sum(axis=1)
        self._faults.mark(table._v_pathname, "no image", n_images == 0, first)
        if self._gamma_only:
            what, wrong = "a primary other than gamma, though gamma_only is set,", rows["gamma_hadron_label"] != 0
            self._faults.mark(table._v_pathname, what, wrong, first)
        run = older_formats.run_index(rows, self._runs)
        there = (run >= 0) & (run < len(self._runs))
        self._faults.mark(table._v_pathname, "a run that Run_Table has not,", ~there, first)
        other = np.zeros(len(rows), bool)
        for column, name in (("run_number", "run_number"), ("primary", "gamma_hadron_label")):
            other[there] |= self._runs[column][run[there]] != rows[name][there]
        self._faults.mark(table._v_pathname, "a run number or primary other than that of its run,", other, first)
        has_no_energy = np.isnan(rows["reconstructed_energy"])
        for total, counted in zip(self._counts, (None, n_images, has_no_energy), strict=True):
            weights = None if counted is None else counted[there]
            total += np.bincount(run[there], weights, len(self._runs)).astype(np.int64)

    def problems(self):
        """Return a line for each count that does not agree."""
        return [*self._faults.problems(), *self._table_problems(), *self._count_problems()]

    def _table_problems(self):
        dropped = [name for name in self._table.dtype.names if name.startswith("dropped_")]
        seen = {}
        for row in self._table:
            name = os.fsdecode(row["file_name"]), int(row["run_number"]), int(row["primary"])
            where = f"/Run_Table: {name[0]}, {_run(*name[1:], self._is_observed)}"
            digest = bytes(row["file_digest"])
            if name in seen and (seen[name] != digest or not digest):  # a file may hold several runs of one number
                yield f"{where}: is there twice"
            seen.setdefault(name, digest)
            n_dropped = sum(int(row[column]) for column in dropped)
            if row["events_read"] != n_dropped + row["events_written"]:
                counts = f"{n_dropped} dropped and {row['events_written']} written"
                yield f"{where}: {row['events_read']} events read, but {counts}"

    def _count_problems(self):
        for group, run in enumerate(self._runs):
            rows = self._table[self._group == group]
            where = _run(int(run["run_number"]), int(run["primary"]), self._is_observed)
            events, n_images, n_nan = self._counts[:, group].tolist()
            for column, found in (("events_written", events), ("images", n_images)):
                stated = int(rows[column].sum())
                if stated != found:
                    yield f"/Run_Table: {where}: {column} is {stated}, the tables have {found}"
            yield from self._energy_problems(where, rows, events, n_nan)

    @staticmethod
    def _energy_problems(where, rows, events, n_nan):
        dictionaries = {bool(row["bins_cuts_dict_sha256"]) for row in rows}
        if dictionaries == {True} and n_nan:
            yield f"{where}: no reconstructed energy in {plural(n_nan, 'row')}, though the run has a dictionary"
        if dictionaries == {False} and n_nan < events:
            n = plural(events - n_nan, "row")
            yield f"{where}: a reconstructed energy in {n}, though the run has no dictionary"


class Repeats:
    """No event may be there twice, in whatever table; see :mod:`image_extractor.events.same_events`.

    Events are kept as hashes; those that come twice are read again to see whether they are one event.
    """

    def __init__(self, dataset):
        self._dataset = dataset
        self._hashes = []

    def add(self, table, first, rows):
        """Take a block of rows."""
        self._hashes.append(self._hash(same_events.identity(rows)))

    @staticmethod
    def _hash(identity):
        words = identity.view(np.uint64).reshape(len(identity), -1)
        return mixing.mixed(list(words.T), np.uint64(0))

    def problems(self):
        """Return a line if events are there twice."""
        hashes = np.sort(np.concatenate(self._hashes)) if self._hashes else np.zeros(0, np.uint64)
        suspects = np.unique(hashes[1:][hashes[1:] == hashes[:-1]])
        places = {}
        for table in self._dataset.tables() if len(suspects) else ():
            for first, rows in row_blocks(table):
                events = same_events.identity(rows)
                for row in np.flatnonzero(np.isin(self._hash(events), suspects)):
                    places.setdefault(events[row].tobytes(), (events[row], []))[1].append(
                        f"{table._v_pathname} row {first + int(row)}"
                    )
        repeated = [(event, where) for event, where in places.values() if len(where) > 1]
        if not repeated:
            return []
        event, where = repeated[0]
        run = _run(int(event["run_number"]), int(event["gamma_hadron_label"]), self._dataset.is_observed)
        name = f"{run} event {event['event_number']}"
        listed = " and ".join(where[:2])
        return [f"{plural(len(repeated), 'event')} more than once, first {name}: in {listed}"]


class Bins:
    """No row outside its bin: of the true energy, or of the dictionary's reconstructed energy.

    Observed events without a dictionary have no energy; they are all in the one bin that there is.

    A dictionary chooses the bins itself; where its energies are not in them, it was made with bins
    other than the dataset's [energy_bins].
    """

    def __init__(self, dataset):
        self._bins = config.energy_bins(dataset.settings)
        self._labelled = dataset.settings["mode"] == "energy_recon"
        self._is_observed = dataset.is_observed
        self._faults = Faults()

    def add(self, table, first, rows):
        """Look at a block of rows."""
        true_bin = self._bins.find(rows["mc_energy"])
        if self._labelled:
            wrong = rows[schema.RECON_LABEL[0]] != true_bin
            self._faults.mark(table._v_pathname, "a label that is not the bin of the true energy", wrong, first)
            return
        group = int(table._v_parent._v_name[1:])
        reconstructed = rows["reconstructed_energy"]
        by_truth = np.isnan(reconstructed)
        if self._is_observed:
            true_bin = np.full(len(rows), 0 if self._bins.n_bins == 1 else -1)
        what = "no energy, though there are several bins," if self._is_observed else "true energy outside the bin"
        self._faults.mark(table._v_pathname, what, by_truth & (true_bin != group), first)
        wrong = ~by_truth & ~self._bins.contain(group, reconstructed)
        self._faults.mark(table._v_pathname, "reconstructed energy outside the bin", wrong, first)

    def problems(self):
        """Return a line for each table with such rows."""
        return self._faults.problems()


class Observed:
    """No truth in observed data."""

    def __init__(self):
        self._faults = Faults()

    def add(self, table, first, rows):
        """Look at a block of rows."""
        has_truth = rows["gamma_hadron_label"] != schema.NO_PRIMARY
        for name in schema.TRUTH_COLUMNS:
            has_truth |= ~np.isnan(rows[name])
        self._faults.mark(table._v_pathname, "a true value, though it is observed,", has_truth, first)

    def problems(self):
        """Return a line for each table with such rows."""
        return self._faults.problems()


def n_not_finite(path):
    """Return the number of pixels (cells, if resampled) that are not finite, as Run_Table has it."""
    with open_events(path) as dataset:
        stated = dataset.runs["not_finite_pixels"]
        return int(stated[stated >= 0].sum())


def _run(run_number, primary, is_observed):
    return f"run {run_number} ({primary_name(primary, is_observed)})"
