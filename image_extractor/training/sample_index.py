"""Which samples a dataset has: events and images of chosen tables, telescopes and energy bins, by row numbers."""

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import tables

from ..errors import DatasetError, MissingNameError
from ..hdf5 import dataset_files, nodes, older_formats, schema
from ..hdf5.image_places import image_rows
from ..hdf5.stored_rows import OpenFiles, open_to_read
from .chosen_telescopes import Telescopes, choose_telescopes, telescope_types
from .sample_types import Integers, Records

#: Attributes of images that must agree among the files of one dataset.
COMMON = ("image_mode", "mapping", "scale_factor", "cleaned")

#: Attributes that all images have, and those that only some have.
IMAGE_ATTRIBUTES = ("image_mode", "scale_factor", "dtype", "dim_order", "charge_scale", "time_scale")
SOME_HAVE = ("mask_scale",)

#: How energy bins are chosen: by numbers or names, one or several.
Bins = int | str | Iterable[int | str]

#: Scalar columns of Events that are kept in memory: 100 bytes an event; run_index is the row of all files' runs.
LABELS = [(name, kind) for name, kind, *_ in schema.EVENT_COLUMNS] + [("energy_bin", "<i4")]

#: Those of observed events.
OBSERVED_LABELS = [*LABELS, schema.TIME[:2]]


@dataclass
class SampleSource:
    """The Events table of one energy bin of one file.

    Attributes
    ----------
    path, group, table : str
        File, path of the group in it, name of the table.
    tel_ids : list of int
        The chosen telescopes.
    positions : int array (n_tel,)
        Their rows in Tel_Table.
    energy_bin : int
        -1 where the table holds all bins.
    mapped : bool
        Whether images are in arrays of their own.
    has_parameters : bool
        Whether image parameters are stored.
    kind : str
        schema.SIMULATED or OBSERVED.
    attributes : dict
        Of the images: dtype, dim_order, scales, ...
    runs : structured array
        Run_Table of the file.
    first_tel, first_run : int
        The first of the telescopes and runs among those of the dataset.
    """

    path: str
    group: str
    table: str
    tel_ids: list[int]
    cameras: list[str]
    types: list[str]
    positions: Integers
    energy_bin: int
    mapped: bool
    has_parameters: bool
    kind: str
    attributes: dict[str, Any]
    runs: Records
    first_tel: int = 0
    first_run: int = 0

    def cameras_of(self, of_type: str | None = None) -> list[str]:
        """Return the entries of /Cameras of all telescopes, or of a type."""
        pairs = zip(self.cameras, self.types, strict=True)
        return sorted({camera for camera, name in pairs if of_type in (None, name)})

    def attributes_of(self, of_type: str | None = None) -> dict[str, Any]:
        """Return the attributes of the images, those of a type having a shape of their own."""
        return self.attributes if of_type is None else self.attributes | {"shape": self.attributes["shapes"][of_type]}

    @property
    def table_path(self) -> str:
        """Path of the Events table in the file."""
        return f"{self.group.rstrip('/')}/{self.table}"

    def image_path(self, tel_id: int) -> str:
        """Path of a telescope's image array in the file (`mapped` storage)."""
        return f"{self.group.rstrip('/')}/{schema.image_name(tel_id)}"


@dataclass
class SampleIndex:
    """All samples of a dataset.

    Attributes
    ----------
    sources : list of SampleSource
    telescopes : structured array
        Rows of Tel_Table of the chosen telescopes, file after file.
    runs : structured array
        Run_Table of all files.
    events : structured array
        LABELS of all events of the tables, OBSERVED_LABELS of observed ones.
    source, event : int array (n_samples,)
        Row in `sources` and `events`.
    tel : int array (n_samples,)
        Row in `telescopes`; 0 in the event view.
    row : int array (n_samples,), or (n_samples, n_tel) in the event view
        Row of the image in its array or table, -1 where a telescope has none.
    """

    sources: list[SampleSource]
    telescopes: Records
    runs: Records
    events: Records
    source: Integers
    event: Integers
    tel: Integers
    row: Integers
    _fingerprint: int | None = field(default=None, init=False)

    @property
    def is_observed(self) -> bool:
        """Whether the events were observed; else they were simulated."""
        return self.sources[0].kind == schema.OBSERVED

    def fingerprint(self) -> int:
        """Return a number that tells other samples, or another order of them, from these: a CRC-32."""
        if self._fingerprint is None:
            identity = [self.events[name][self.event] for name in ("run_number", "event_number")]
            found = 0
            for values in (self.source, self.event, self.tel, self.row, *identity):
                found = zlib.crc32(np.ascontiguousarray(values, np.int64).data, found)
            self._fingerprint = found
        return self._fingerprint

    def select(self, numbers: Integers) -> "SampleIndex":
        """Return an index of some of the samples."""
        chosen = {name: getattr(self, name)[numbers] for name in ("source", "event", "tel", "row")}
        return replace(self, **chosen)

    def with_rows(self, row: Integers) -> "SampleIndex":
        """Return an index of the same samples with other rows of images."""
        return replace(self, row=row)

    def primaries(self) -> Integers:
        """Return the primary of each sample, int array (n_samples,)."""
        primaries: Integers = self.events["gamma_hadron_label"][self.event]
        return primaries


def build(
    files: OpenFiles, paths: Sequence[str], table: str, view: str, telescopes: Telescopes | None, bins: Bins | None
) -> SampleIndex:
    """Return the SampleIndex of several files; arguments as those of ImageDataset.

    files : OpenFiles
    """
    sources: list[SampleSource] = []
    telescope_rows: list[Records] = []
    runs: list[Records] = []
    for path in paths:
        with open_to_read(path, files.verify) as file:
            with dataset_files.damage(path):
                tel_table = older_formats.tel_table(nodes.all_rows(file.root[schema.TEL_TABLE]))
                run_table = older_formats.plain_run_table(nodes.all_rows(file.root[schema.RUN_TABLE]))
            chosen = choose_telescopes(tel_table, telescopes, path)
            found = _sources(file, path, table, tel_table, chosen, run_table, bins, view == "types")
            first_tel, first_run = sum(map(len, telescope_rows)), sum(map(len, runs))
            sources += [replace(one, first_tel=first_tel, first_run=first_run) for one in found]
        telescope_rows.append(tel_table[chosen])
        runs.append(run_table)
    _check_agreement(sources)
    if view != "telescope":
        _check_same_telescopes(paths, telescope_rows)
    parts: list[list[Integers]] = []
    events: list[Records] = []
    n_events = 0
    for number, source in enumerate(sources):
        with dataset_files.damage(source.path):
            labels, *samples = _read(files, source, view, bins)
        samples[0] += n_events
        parts.append([np.full(len(samples[0]), number, np.int32), *samples])
        events.append(labels)
        n_events += len(labels)
    columns = [np.concatenate(part) for part in zip(*parts, strict=True)]
    return SampleIndex(sources, np.concatenate(telescope_rows), np.concatenate(runs), np.concatenate(events), *columns)


# -- what is chosen ----------------------------------------------------------------------------------


def _sources(
    file: tables.File,
    path: str,
    table: str,
    tel_table: Records,
    chosen: Integers,
    run_table: Records,
    bins: Bins | None,
    by_type: bool,
) -> list[SampleSource]:
    """Return the SampleSources of one open file; images have one shape, or one by telescope type."""
    tel_ids = tel_table["tel_id"][chosen].tolist()
    cameras = tel_table["camera"][chosen].astype("U").tolist()
    types = telescope_types(tel_table[chosen]).tolist()
    sources = []
    for group in _groups(file, path, bins):
        node = _events_table(group, table, path)
        name = group._v_name if group._v_depth else ""
        mapped = "tel_map" in node.colnames
        with dataset_files.damage(path):
            attributes = nodes.user_attributes(node)
            image = {key: attributes[key] for key in IMAGE_ATTRIBUTES}
            image |= {key: attributes[key] for key in SOME_HAVE if key in attributes}
            image["cleaned"] = bool(attributes.get("cleaned", False))
            image["mapping"] = _mapping(file, tel_table[chosen])
            shapes = _image_node_shapes(group, node, tel_ids, mapped)
        if by_type:
            image["shapes"] = dict(zip(types, shapes, strict=True))
        else:
            image["shape"] = _common_shape(path, tel_table[chosen], shapes)
        energy_bin = int(name[1:]) if name else -1
        has_parameters = schema.PARAMETERS in attributes
        place = path, group._v_pathname, node._v_name, tel_ids, cameras, types, chosen, energy_bin
        sources.append(SampleSource(*place, mapped, has_parameters, schema.kind(file), image, run_table))
    return sources


def _mapping(file: tables.File, tel_rows: Records) -> str:
    """Return the mapping of the cameras of some telescopes; several are joined by +."""
    cameras = file.root[schema.CAMERAS]
    names = np.unique(tel_rows["camera"]).astype("U").tolist()
    return "+".join(sorted({str(cameras._f_get_child(name)._v_attrs["mapping"]) for name in names}))


def _groups(file: tables.File, path: str, bins: Bins | None) -> list[tables.Group]:
    groups: list[tables.Group] = nodes.events_groups(file)
    if bins is None:
        return groups
    names = [group._v_name for group in groups] if groups[0]._v_depth else _label_names(file)
    wanted = bin_names(bins)
    for name in wanted:
        if name not in names:
            raise MissingNameError(path, "energy bin", name, names)
    return [group for group in groups if not group._v_depth or group._v_name in wanted]


def bin_names(bins: Bins) -> list[str]:
    """Return the names E0, E1, ... of bins given as numbers or names, one or several."""
    given = [bins] if isinstance(bins, str | int | np.integer) else list(bins)
    return [item if isinstance(item, str) else f"E{item}" for item in given]


def _label_names(file: tables.File) -> list[str]:
    return [f"E{label}" for label in range(len(file.root._v_attrs["energy_bin_edges"]) - 1)]


def _events_table(group: tables.Group, table: str, path: str) -> tables.Table:
    tables = nodes.events_tables(group)
    prefix = f"{schema.EVENTS}_"
    name = table if table == schema.EVENTS or str(table).startswith(prefix) else f"{prefix}{table}"
    if name not in tables:
        raise MissingNameError(path, "table", table, [known.removeprefix(prefix) for known in tables])
    return tables[name]


def _image_node_shapes(
    group: tables.Group, node: tables.Table, tel_ids: Sequence[int], mapped: bool
) -> list[tuple[int, ...]]:
    names = [schema.image_name(tel_id) for tel_id in tel_ids]
    return [group._f_get_child(name).shape[1:] if mapped else node.dtype[name].shape for name in names]


def _common_shape(path: str, tel_rows: Records, shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """Return the stored shape of all images; raise DatasetError if there are several."""
    if len(set(shapes)) > 1:
        by_camera = {row["camera"].decode(): shape for row, shape in zip(tel_rows, shapes, strict=True)}
        listed = ", ".join(f"{camera} {'x'.join(map(str, shape))}" for camera, shape in by_camera.items())
        raise DatasetError(f"{path}: images of different shapes ({listed}): choose telescopes of one camera")
    return shapes[0]


def image_shape(attributes: dict[str, Any]) -> tuple[int, ...]:
    """Return the shape (x, y, channel) of images, whatever the order in which they are stored."""
    return as_channels_last(attributes["shape"], attributes)


def as_channels_last(stored: Sequence[int], attributes: dict[str, Any]) -> tuple[int, ...]:
    """Return a stored shape of images as (x, y, channel)."""
    shape = tuple(map(int, stored))
    return (*shape[1:], shape[0]) if attributes["dim_order"] == "channels_first" else shape


def _check_agreement(sources: Sequence[SampleSource]) -> None:
    first = sources[0]
    for source in sources[1:]:
        if source.kind != first.kind:
            both = f"{source.path}: is {schema.KINDS[source.kind]}, {first.path} is {schema.KINDS[first.kind]}"
            raise DatasetError(f"{both}: they are not read as one dataset")
        for key in COMMON:
            old, new = first.attributes[key], source.attributes[key]
            if old != new:
                raise DatasetError(f"{source.path}: made with {key} = {new}, {first.path} with {old}")
        old, new = (image_shape(s.attributes) if "shape" in s.attributes else _shapes(s) for s in (first, source))
        if old != new:
            raise DatasetError(f"{source.path}: images of {new} cells and channels, those of {first.path} have {old}")


def _shapes(source: SampleSource) -> dict[str, tuple[int, ...]]:
    return {name: as_channels_last(shape, source.attributes) for name, shape in source.attributes["shapes"].items()}


def _check_same_telescopes(paths: Sequence[str], telescope_rows: Sequence[Records]) -> None:
    for path, rows in zip(paths, telescope_rows, strict=True):
        if rows["tel_id"].tolist() != telescope_rows[0]["tel_id"].tolist():
            raise DatasetError(f"{path}: other telescopes than {paths[0]}: choose telescopes that both have")


# -- reading -----------------------------------------------------------------------------------------


def _read(
    files: OpenFiles, source: SampleSource, view: str, bins: Bins | None
) -> tuple[Records, Integers, Integers, Integers]:
    """Return labels of all events of a source, and event, telescope and image row of its samples."""
    table = files.rows(source.path, source.table_path)
    labels: Records = np.zeros(table.n_rows, OBSERVED_LABELS if source.kind == schema.OBSERVED else LABELS)
    finder = _finder(files, source, view)
    recon = schema.RECON_LABEL[0]
    wanted = None if bins is None else [int(name[1:]) for name in bin_names(bins)]
    for first, block in table.all_blocks():
        rows = labels[first : first + len(block)]
        for name in rows.dtype.names or ():
            if name in block.dtype.names:
                rows[name] = block[name]
        run = older_formats.run_index(block, source.runs)
        older_formats.fill_new(rows, block, source.runs, run)
        rows["run_index"] = np.where(run >= 0, run + source.first_run, older_formats.UNKNOWN)
        rows["energy_bin"] = block[recon] if recon in block.dtype.names else source.energy_bin
        has = image_rows(block, first, source.positions)
        if wanted is not None and source.energy_bin < 0:
            has[~np.isin(rows["energy_bin"], wanted)] = -1
        finder.add(first, has)
    return labels, *finder.samples()


def _finder(files: OpenFiles, source: SampleSource, view: str) -> "_EventSamples | _RowSamples | _ArraySamples":
    if view != "telescope":
        return _EventSamples(len(source.tel_ids))
    if source.mapped:
        n_rows = [files.rows(source.path, source.image_path(tel_id)).n_rows for tel_id in source.tel_ids]
        return _ArraySamples(n_rows, source.first_tel)
    return _RowSamples(source.first_tel)


class _EventSamples:
    """Samples of the event view: every event with an image, in the order of the table."""

    def __init__(self, n_tel: int) -> None:
        self._events: list[Integers] = [np.empty(0, np.int32)]
        self._rows: list[Integers] = [np.empty((0, n_tel), np.int32)]

    def add(self, first: int, rows: Integers) -> None:
        kept = np.flatnonzero((rows >= 0).any(axis=1))
        self._events.append((first + kept).astype(np.int32))
        self._rows.append(rows[kept])

    def samples(self) -> tuple[Integers, Integers, Integers]:
        events = np.concatenate(self._events)
        return events, np.zeros(len(events), np.int32), np.concatenate(self._rows)


class _RowSamples:
    """Samples of the telescope view in `all` storage: row after row, telescope after telescope."""

    def __init__(self, first_tel: int) -> None:
        self._first_tel = first_tel
        self._events: list[Integers] = [np.empty(0, np.int32)]
        self._tels: list[Integers] = [np.empty(0, np.int32)]

    def add(self, first: int, rows: Integers) -> None:
        event, tel = np.nonzero(rows >= 0)
        self._events.append((first + event).astype(np.int32))
        self._tels.append((self._first_tel + tel).astype(np.int32))

    def samples(self) -> tuple[Integers, Integers, Integers]:
        events = np.concatenate(self._events)
        return events, np.concatenate(self._tels), events.copy()


class _ArraySamples:
    """Samples of the telescope view in `mapped` storage: array after array, in the order of the images in it."""

    def __init__(self, n_rows: Sequence[int], first_tel: int) -> None:
        self._first_tel = first_tel
        self._event_of: list[Integers] = [np.full(n, -1, np.int32) for n in n_rows]

    def add(self, first: int, rows: Integers) -> None:
        for event_of, images in zip(self._event_of, rows.T, strict=True):
            events = np.flatnonzero(images >= 0)
            event_of[images[events]] = first + events

    def samples(self) -> tuple[Integers, Integers, Integers]:
        rows = [np.flatnonzero(event_of >= 0).astype(np.int32) for event_of in self._event_of]
        events = [event_of[row] for event_of, row in zip(self._event_of, rows, strict=True)]
        tels = [np.full(len(row), self._first_tel + tel, np.int32) for tel, row in enumerate(rows)]
        return np.concatenate(events), np.concatenate(tels), np.concatenate(rows)
