"""Datasets for CTLearn: a reader that its training takes in the place of those for ctapipe's files.

CTLearn finds readers among the subclasses of dl1-data-handler's DLDataReader that were imported, so a configuration
file imports this one (upstream could look for plugins: a class attribute ``plugin_entry_point`` of DLDataReader):

    # train.py, for ctlearn-train-model --config train.py --signal FOLDER --output FOLDER --reco type
    import image_extractor.ctlearn_reader
    c.TrainCTLearnModel.dl1dh_reader_type = "ImageExtractorReader"

The only room that imports dl1_data_handler.
"""

import re
from typing import Any, ClassVar

import astropy.units as u
import numpy as np
from astropy.coordinates import AltAz, Angle, SkyCoord
from astropy.table import Table, vstack
from ctapipe.coordinates import CameraFrame
from ctapipe.core import Component
from ctapipe.core.traits import CaselessStrEnum, List, TraitError, Unicode
from ctapipe.instrument.optics import FocalLengthKind
from dl1_data_handler.reader import DLDataReader, ProcessType, TableQualityQuery

from .dataset import ImageDataset
from .errors import DatasetError
from .hdf5 import older_formats, schema
from .hdf5.stored_rows import open_to_read
from .parameters.columns import NAMES as PARAMETER_NAMES
from .training.event_weights import GAMMA
from .training.sample_types import Integers, Records

#: Our channels by CTLearn's names.
CHANNELS = {"image": "charge", "peak_time": "time"}

#: Columns of examples, by CTLearn's names and ours.
COLUMNS = {
    "obs_id": "obs_id",
    "event_id": "event_id",
    "tel_id": "tel_id",
    "true_energy": "energy",
    "true_shower_primary_id": "primary",
    "true_alt": "alt",
    "true_az": "az",
    "telescope_pointing_altitude": "pointing_alt",
    "telescope_pointing_azimuth": "pointing_az",
    "true_core_x": "core_x",
    "true_core_y": "core_y",
    "true_h_first_int": "h_first_int",
    "true_x_max": "x_max",
    "fov_lon": "fov_lon",
    "fov_lat": "fov_lat",
    "run_index": "run_index",
}

UNITS = {"true_alt": u.rad, "true_az": u.rad, "fov_lon": u.deg, "fov_lat": u.deg, "true_energy": u.TeV}
UNITS |= {"telescope_pointing_altitude": u.rad, "telescope_pointing_azimuth": u.rad}
UNITS |= {name: u.m for name in ("true_core_x", "true_core_y", "true_h_first_int")} | {"true_x_max": u.Unit("g/cm2")}


class ImageExtractorReader(DLDataReader):
    """Reads datasets of image_extractor for CTLearn: images of one telescope type, single or by event.

    Images are the arrays of the dataset, whatever its mapping; traits for ctapipe's files (image_mapper_type,
    force_dl1_lookup, ...) have no effect. Quality criteria are asked of the image parameters of the dataset, which
    [parameters] store = True makes. With background files a particle's class is that of its files, as with CTLearn's
    own readers; without, gammas are the signal (class 1) and all others the background.

    Raises
    ------
    TraitError
        If there are no files.
    ValueError
        If telescopes are of several types, or two events have the same obs_id, event_id and class.
    DatasetError
        For files that are no datasets, or have no parameters to ask quality criteria of.
    """

    table = Unicode("Events", help="Table of the datasets: Events, or Training of those that were split").tag(
        config=True
    )

    channels = List(
        trait=CaselessStrEnum(list(CHANNELS)), default_value=list(CHANNELS), help="Channels of the images"
    ).tag(config=True)

    def __init__(
        self,
        input_url_signal: Any,
        input_url_background: Any = (),
        config: Any = None,
        parent: Any = None,
        **kwargs: Any,
    ) -> None:
        # DLDataReader's own opens ctapipe's files
        Component.__init__(self, config=config, parent=parent, **kwargs)
        if not input_url_signal:
            raise TraitError("The 'input_url_signal' list cannot be empty.")
        if any(number > 0 for *_, number in self.min_telescopes_of_type):
            raise TraitError("min_telescopes_of_type: there is one type, of which min_telescopes asks")
        self.quality_query = TableQualityQuery(parent=self)
        self.process_type = ProcessType.Simulation
        self.input_url_signal, self.input_url_background = list(input_url_signal), list(input_url_background or ())
        groups = [sorted(map(str, urls)) for urls in (self.input_url_signal, self.input_url_background) if urls]
        self._choose_telescopes(groups[0][0])
        self._datasets = [self._open(paths) for paths in groups]
        examples = [self._examples(number) for number in range(len(groups))]
        self._set_examples(vstack(examples, metadata_conflicts="silent"))
        self._set_shapes()

    # -- what is chosen ----------------------------------------------------------------------------------------------

    def _choose_telescopes(self, path: str) -> None:
        """Find the telescopes of the type that is asked for; as ctapipe names types: LST_LST_LSTCam."""
        with open_to_read(path) as file:
            rows = older_formats.tel_table(file.root[schema.TEL_TABLE][:])
        names = np.array(
            [f"{row['tel_type'].decode()}_{row['optics'].decode()}_{row['camera'].decode()}" for row in rows]
        )
        kept = np.ones(len(rows), bool)
        if self.allowed_tels is not None:
            kept &= np.isin(rows["tel_id"], list(self.allowed_tels))
        elif self.allowed_tel_types is not None:
            kept &= np.isin(names, list(self.allowed_tel_types))
        found, known = sorted(set(names[kept])), ", ".join(sorted(set(names)))
        if not found:
            raise DatasetError(f"{path}: no telescope of {self.allowed_tels or self.allowed_tel_types}: it has {known}")
        if len(found) > 1:
            raise ValueError(f"{path}: has telescopes of {known}: choose one type by allowed_tel_types or allowed_tels")
        rows = rows[kept]
        self.tel_type, self.cam_name = found[0], rows["camera"][0].decode()
        self._telescopes: Records = rows
        self.tel_ids = rows["tel_id"].tolist()
        self.selected_telescopes = {self.tel_type: np.array(self.tel_ids)}

    def _open(self, paths: list[str]) -> ImageDataset:
        for path in paths:
            with open_to_read(path) as file:
                if schema.kind(file) != schema.SIMULATED:
                    raise DatasetError(f"{path}: is observed: there is no truth to learn")
                if schema.TEL_POINTING in file.root._v_attrs:
                    raise DatasetError(f"{path}: telescopes look elsewhere than their array, as CTLearn can not")
        channels = [CHANNELS[name] for name in self.channels]
        columns = tuple(COLUMNS.values())
        dataset = ImageDataset(paths, self.table, telescopes=self.tel_ids, channels=channels, columns=columns)
        self._check_alike(dataset)
        return dataset

    def _check_alike(self, dataset: ImageDataset) -> None:
        """Raise DatasetError unless all files have the telescopes, and images like those, of the first."""
        for name in ("camera", "optics", "focal_length"):
            if not np.isin(dataset.telescopes[name], self._telescopes[name]).all():
                raise DatasetError(f"{dataset.paths[0]}, ...: telescopes have another {name} than the first file's")
        images = dataset.image_shape, dataset.image_facts
        self._alike = getattr(self, "_alike", images)
        if images != self._alike:
            raise DatasetError(f"{dataset.paths[0]}: images are {images}, those of the signal {self._alike}")

    # -- examples ----------------------------------------------------------------------------------------------------

    def _examples(self, number: int) -> Table:
        """Return the examples of a group of files: a row for each image that passes the quality criteria."""
        dataset = self._datasets[number]
        labels = dataset.labels()
        table = Table({name: labels[ours] for name, ours in COLUMNS.items()})
        if np.isnan(table["fov_lon"]).any() or np.isnan(table["telescope_pointing_altitude"]).any():
            raise DatasetError(f"{dataset.paths[0]}, ...: of a format without directions around the pointing")
        for name, unit in UNITS.items():
            table[name].unit = unit
        table["file_index"], table["table_index"] = number, np.arange(len(dataset))
        table["tel_type_id"] = 0
        signal = table["true_shower_primary_id"] == GAMMA if len(self._datasets) == 1 else number == 0
        table["true_shower_primary_class"] = np.broadcast_to(signal, len(table)).astype(np.int64)
        parameters = self._parameters(dataset)
        for name in parameters.colnames:
            table[name] = parameters[name]
        return table[self.quality_query.get_table_mask(table)]

    def _parameters(self, dataset: ImageDataset) -> Table:
        """Return the image parameters that quality criteria name, and intensities to sort by, if they are there."""
        criteria = " ".join(expression for _, expression in self.quality_query.quality_criteria or ())
        named = sorted(set(re.findall(r"\w+", criteria)) & set(PARAMETER_NAMES))
        try:
            return Table(dataset.labels(sorted({*named, "hillas_intensity"})))
        except DatasetError as err:
            if named:
                hint = "or TableQualityQuery.quality_criteria = [] asks for none"
                raise DatasetError(f"{err}, which quality criteria name ({', '.join(named)}); {hint}") from err
        return Table({"hillas_intensity": np.full(len(dataset), np.nan)})

    def _set_examples(self, table: Table) -> None:
        table["log_true_energy"] = np.log10(table["true_energy"].data)
        table["impact_radius"] = np.hypot(table["true_core_x"], table["true_core_y"])
        self._add_camera_offsets(table)
        order = np.lexsort(
            [table[name] for name in ("tel_id", "run_index", "true_shower_primary_class", "event_id", "obs_id")]
        )
        table = table[order]
        table["index"] = np.arange(len(table))
        self.example_identifiers = table
        self._group()
        counted = table if self.mode == "mono" else self.unique_example_identifiers
        self.n_signal_events = int((counted["true_shower_primary_class"] == 1).sum())
        self.n_bkg_events = len(counted) - self.n_signal_events
        both, half = self.n_signal_events and self.n_bkg_events, len(counted) / 2
        self.class_weight = {0: half / self.n_bkg_events, 1: half / self.n_signal_events} if both else None

    def _group(self) -> None:
        """Find the rows of each event; raise ValueError if CTLearn would take two for one."""
        table = self.example_identifiers
        keys = np.stack(
            [table[name] for name in ("obs_id", "event_id", "true_shower_primary_class", "file_index", "run_index")]
        )
        is_new = np.ones(len(table), bool)
        is_new[1:] = (keys[:, 1:] != keys[:, :-1]).any(axis=0)
        first = np.flatnonzero(is_new)
        same = np.flatnonzero((keys[:3, first[1:]] == keys[:3, first[:-1]]).all(axis=0))
        if len(same) and self.mode == "stereo":
            obs_id, event_id = keys[:2, first[same[0]]]
            raise ValueError(f"two events are number {event_id} of obs_id {obs_id}, which CTLearn takes for one")
        counts = np.diff(np.append(first, len(table)))
        kept = counts >= self.min_telescopes if self.mode == "stereo" else np.ones(len(first), bool)
        self._first, self._counts = first[kept], counts[kept]
        self.unique_example_identifiers = table[self._first]

    def _add_camera_offsets(self, table: Table) -> None:
        """Add where in the camera the true direction is, in the frame that CTLearn uses: turned by pix_rotation."""
        rows = {int(row["tel_id"]): row for row in self._telescopes}
        x, y = (u.Quantity(np.zeros(len(table)), u.m) for _ in range(2))
        with open_to_read(self._datasets[0].paths[0]) as file:
            camera = file.root[schema.CAMERAS]._f_get_child(self.cam_name)
            rotation = Angle(float(camera._v_attrs["pix_rotation_deg"]) * u.deg)
        for tel_id, row in rows.items():
            mine = np.flatnonzero(table["tel_id"] == tel_id)
            part = table[mine]
            pointing = SkyCoord(
                az=part["telescope_pointing_azimuth"].quantity,
                alt=part["telescope_pointing_altitude"].quantity,
                frame=AltAz(),
            )
            frame = CameraFrame(focal_length=self._focal_length(row), rotation=rotation, telescope_pointing=pointing)
            direction = SkyCoord(az=part["true_az"].quantity, alt=part["true_alt"].quantity, frame=AltAz())
            found = direction.transform_to(frame)
            x[mine], y[mine] = found.x, found.y
        table["cam_coord_offset_x"], table["cam_coord_offset_y"], table["cam_coord_distance"] = x, y, np.hypot(x, y)

    def _focal_length(self, row: np.void) -> u.Quantity:
        effective = float(row["effective_focal_length"])
        wanted = self.focal_length_choice is FocalLengthKind.EFFECTIVE and np.isfinite(effective)
        return (effective if wanted else float(row["focal_length"])) * u.m

    # -- batches -----------------------------------------------------------------------------------------------------

    def _set_shapes(self) -> None:
        shape = tuple(self._datasets[0].image_shape)
        self.input_shape = shape if self.mode == "mono" else {self.tel_type: (len(self.tel_ids), *shape)}

    def get_n_events(self) -> int:
        """Return the number of examples: images, or events."""
        return len(self.example_identifiers if self.mode == "mono" else self.unique_example_identifiers)

    #: Older releases of dl1-data-handler, and CTLearn 0.10, call it so.
    _get_n_events = get_n_events

    def generate_mono_batch(self, batch_indices: Any) -> Table:
        """Return rows of examples with their images: 'features', float32 (n, x, y, channel)."""
        if self.mode != "mono":
            raise ValueError("Mono batch generation is not supported in stereo mode.")
        return self._append_features(self.example_identifiers[np.atleast_1d(batch_indices)])

    def _append_features(self, batch: Table) -> Table:
        batch["features"] = self._images(batch["file_index"].data, batch["table_index"].data)
        return batch

    def _images(self, groups: Integers, samples: Integers) -> np.ndarray:
        """Return images of samples, zeros where the number of one is -1."""
        images = np.zeros((len(samples), *self._datasets[0].image_shape), np.float32)
        for number, dataset in enumerate(self._datasets):
            mine = np.flatnonzero((groups == number) & (samples >= 0))
            if len(mine):
                images[mine] = dataset[samples[mine]]["image"]
        return images

    def generate_stereo_batch(self, batch_indices: Any) -> Table:
        """Return a row for each telescope of each event, blank where it has no image, sorted by event and telescope."""
        if self.mode != "stereo":
            raise ValueError("Stereo batch generation is not supported in mono mode.")
        events, n_tel = np.sort(np.atleast_1d(batch_indices)), len(self.tel_ids)
        rows = self._first[events].repeat(n_tel)
        batch = self.example_identifiers[rows]
        tel_ids = np.tile(self.tel_ids, len(events))
        of_event = np.arange(len(events)).repeat(self._counts[events])
        there = np.concatenate(
            [np.arange(first, first + n) for first, n in zip(self._first[events], self._counts[events], strict=True)]
        )
        place = of_event * n_tel + np.searchsorted(self.tel_ids, self.example_identifiers["tel_id"].data[there])
        blank = np.ones(len(batch), bool)
        blank[place] = False
        for name in self._of_telescopes:
            batch[name][place] = self.example_identifiers[name][there]
        batch["tel_id"], batch["table_index"][blank], batch["hillas_intensity"][blank] = tel_ids, -1, 0
        batch = self._append_features(batch)
        unknown = np.isnan(batch["hillas_intensity"])
        if unknown.any() and "image" in self.channels:  # without parameters, to sort by
            sizes = batch["features"][..., list(self.channels).index("image")].sum(axis=(1, 2))
            batch["hillas_intensity"][unknown] = sizes[unknown]
        return batch

    #: Columns that differ among the telescopes of an event.
    _of_telescopes: ClassVar[tuple[str, ...]] = (
        "table_index", "hillas_intensity", "cam_coord_offset_x", "cam_coord_offset_y", "cam_coord_distance",
    )  # fmt: skip
