"""ImageExtractor: simtel events in, rows and images out."""

import contextlib
import json
import logging
import time
from pathlib import Path

from . import config, cuts, images, run_description
from .errors import ConfigError, InputError
from .input_files import find_files

log = logging.getLogger(__name__)


class _NoShower(Exception):
    """The run holds no simulated shower: no part is made of it."""


class ImageExtractor:
    """Converts simtel files to image datasets.

    Parameters
    ----------
    output_path : str or Path
        HDF5 file to write; an existing dataset is appended to.
    bins_cuts_dict : dict, str, Path or None
        {(run number, event number): (bin, reconstructed energy in TeV)}, or a file that holds one.
    mode : str
        'gh_class' or 'energy_recon'.
    **settings
        Every other setting, named section_key, with the default of the configspec:
        ``storage_mode="mapped", image_mode="PIXELS_1C", telescope_type_mode="LST+MST"``;
        ``config.keyword_names()`` lists them.

    Raises
    ------
    ConfigError
        For whatever a configuration file could not say either, and for a wrong dictionary.
    TypeError
        For a keyword that is no setting.
    """

    def __init__(self, output_path, bins_cuts_dict, mode, **settings):
        self._set_up(output_path, bins_cuts_dict, config.from_keywords({"mode": mode, **settings}))

    @classmethod
    def from_config(cls, output_path, bins_cuts_dict, config_file):
        """Make an extractor with the settings of a configuration file (a path, or settings as `config.load` gives)."""
        settings = config_file if isinstance(config_file, dict) else config.load(config_file)
        extractor = cls.__new__(cls)
        extractor._set_up(output_path, bins_cuts_dict, config.loads(config.dumps(settings), "settings"))
        return extractor

    def _set_up(self, output_path, bins_cuts_dict, settings):
        self.output_path = Path(output_path)
        self.settings = settings
        if settings["use_pkl_dict"] and bins_cuts_dict is None:
            raise ConfigError("use_pkl_dict = True but no bins_cuts_dict is given: give one, or set it to False")
        if not settings["use_pkl_dict"] and bins_cuts_dict is not None:
            raise ConfigError(
                "a bins_cuts_dict is given but use_pkl_dict = False: set it to True, or leave the file out"
            )
        self.dictionary_name, self.dictionary_sha256 = "", ""
        self.bins_cuts_dict = self._checked_cuts(bins_cuts_dict)

    def _checked_cuts(self, given):
        if given is None:
            return None
        if isinstance(given, str | Path):
            entries = cuts.load(given)
            self.dictionary_name, self.dictionary_sha256 = Path(given).name, cuts.sha256(given)
        else:
            entries = cuts.check(given)
            self.dictionary_name, self.dictionary_sha256 = "dict", cuts.sha256_of(entries)
        if self.settings["mode"] == "gh_class":
            name = self.dictionary_name if isinstance(given, dict) else given
            cuts.check_bins(entries, config.energy_bins(self.settings).n_bins, name)
        return entries

    # -- what the command runs ---------------------------------------------------------------------

    def process_files(
        self,
        files,
        max_events=None,
        jobs=1,
        *,
        executor=None,
        files_per_output=None,
        seed=None,
        split=None,
        overwrite=False,
        on_error="skip",
        command_line="",
        progress=None,
    ):
        """Convert many files and merge them into the output.

        Parameters
        ----------
        files : str, or list of str or Path
            Their paths, or one wildcard. Events stand in the output in this order.
        max_events : int, optional
            Events written per file, at most.
        jobs : int
            Worker processes; 1 converts in this one.
        executor : concurrent.futures.Executor or distributed.Client, optional
            Takes the tasks in the place of worker processes. Its workers must see files and output under the same
            paths, and have the same software.
        files_per_output : int, optional
            Write OUTPUT_0000.h5, OUTPUT_0001.h5, ... of so many files each.
        seed : int, optional
            Shuffle every Events table, repeatably.
        split : dict, optional
            Split every Events table by fractions such as {"Training": 0.9, "Validation": 0.1}.
        overwrite : bool
            Start the output afresh instead of appending.
        on_error : str
            'skip' leaves out a file that can't be converted; 'stop' raises its InputError, and the output stays as
            it was.
        command_line : str
            For the file's provenance.
        progress : batch.Progress, optional
            Told of events read, files done and the merge.

        Returns
        -------
        batch.Report
            What became of each file. Those that can't be converted are logged, and are in its ``failed``.

        Raises
        ------
        DatasetError
            If the output is no dataset, was made otherwise, or is being written by another run.
        OSError
            If something can't be written, or no worker is left to do it; the same call goes on.
        """
        from . import batch

        if isinstance(files, str):
            files = find_files(files)
        report = batch.run(
            self,
            files,
            max_events=max_events,
            jobs=jobs,
            executor=executor,
            files_per_output=files_per_output,
            seed=seed,
            split=split,
            overwrite=overwrite,
            on_error=on_error,
            command_line=command_line,
            progress=progress,
        )
        for run in report.failed:
            log.error("%s", run["reason"])
        return report

    def process_data(self, data_file, max_events=None):
        """Convert one file into the output.

        Parameters
        ----------
        data_file : str or Path
        max_events : int, optional
            Events written, at most.

        Returns
        -------
        dict
            The counts of the run: events_read, dropped, events_written, images, clipped_pixels, ...

        Raises
        ------
        InputError
            If the file can't be converted whole; the output stays as it was.
        """
        report = self.process_files([data_file], max_events=max_events, on_error="stop")
        return report.runs[0]

    def shuffle_data(self, h5_file=None, seed=0):
        """Shuffle every Events table of a dataset (default: the output), repeatably for a seed."""
        from . import merge

        merge.rewrite(h5_file or self.output_path, seed=seed)

    def split_data(self, h5_file=None, fractions=None):
        """Split every Events table of a dataset into Events_Training, Events_Validation, Events_Test.

        fractions : dict
            Such as {"Training": 0.9, "Validation": 0.1}, the default; they must add up to 1.
        """
        from . import merge

        merge.rewrite(h5_file or self.output_path, split=fractions or {"Training": 0.9, "Validation": 0.1})

    def select_telescopes(self, data_file):
        """Return the selected telescopes of a file, {type: [tel_id, ...]}, and their number."""
        from . import simtel, telescopes

        with simtel.open_run(data_file) as run:
            section = self.settings["telescope"]
            selected = telescopes.select(run.subarray, section["type_mode"], section["tel_ids"])
        return selected, sum(map(len, selected.values()))

    # -- one file ------------------------------------------------------------------------------------

    def convert(self, data_file, part_path, max_events=None, known=(), attributes=None, progress=None):
        """Convert one file to a part: a dataset of this run alone, which appears whole or not at all.

        Parameters
        ----------
        data_file, part_path : str or Path
        max_events : int, optional
            Events written, at most.
        known : collection of (run number, primary)
            Runs of a file of this name that the output already holds.
        attributes : dict, optional
            Attributes of the part's root, such as a fingerprint.
        progress : callable, optional
            Called with the number of events read since the last call, and the fraction of the file read so far.

        Returns
        -------
        dict
            ``status`` ('written', 'known', 'no telescope', 'no shower') and counts.

        Raises
        ------
        InputError
            If the file is damaged, cut short, or can't be calibrated as set.
        """
        from . import simtel, storage
        from .part import PartWriter
        from .selection import EventSelection

        start = time.monotonic()
        with simtel.open_run(data_file, self.settings["calibration"]["fast"]) as run:
            if known and (run.obs_id, simtel.first_primary(data_file)) in known:
                return {"status": "known"}
            layout = self._layout(run)
            if not layout.types:
                return {"status": "no telescope", "reason": self._nothing_selected(run)}
            log.debug("%s: %s", data_file, run_description.header(run, layout.types))
            selection = EventSelection(self.settings, self.bins_cuts_dict, run.obs_id)
            run.select(layout.grids, selection.accepts)
            with contextlib.suppress(_NoShower), storage.replacing(part_path) as file:
                part = PartWriter(file, self.settings, layout)
                self._write_events(run, selection, part, max_events, progress)
                run.check_unchanged()
                part.flush()  # what is counted is written
                row = {**run.facts(), **self._counts(run, selection, part)}
                part.finish(row)
                report = self._report(row, layout, part) | {"seconds": time.monotonic() - start}
                storage.set_attributes(file.root, (attributes or {}) | {"report": json.dumps(report)})
                return report
        return {"status": "no shower"}

    def _nothing_selected(self, run):
        """Return in words which telescopes a run has, and which were asked for."""
        from . import simtel

        section = self.settings["telescope"]
        asked = f"type_mode = {section['type_mode']}"
        if section["tel_ids"]:
            asked += f" with tel_ids = {', '.join(map(str, section['tel_ids']))}"
        return f"{simtel.describe_telescopes(run)}, none of {asked}"

    def _layout(self, run):
        """Return the telescopes and arrays of a run; a camera of a damaged file may be on no lattice."""
        from . import simtel
        from .array_layout import describe

        try:
            with simtel.reading(run.input_url):
                return describe(run.subarray, self.settings, run.pointing)
        except InputError as err:
            message = str(err).removeprefix(f"{run.input_url}: ")
            raise InputError(f"{run.input_url}: {message}") from err

    def _write_events(self, run, selection, part, max_events, progress):
        """Calibrate the selected events and hand them to the part."""
        from . import simtel

        calibrate = self._calibrator(run)
        n_reported = 0
        for event in run:
            with simtel.reading(run.input_url):
                calibrate(event)
            dl1 = event.dl1.tel
            if dl1:
                self._check_times(dl1)
                shower, index = event.simulation.shower, event.index
                energy_bin = selection.energy_bin(index.event_id, shower.energy.to_value("TeV"))
                reconstructed = selection.reconstructed_energy(index.event_id)
                part.add(energy_bin, (*_truth(index, shower), reconstructed, 0), dl1)
            if progress and selection.n_read - n_reported >= 10:
                progress(selection.n_read - n_reported, run.objects.stream.fraction)
                n_reported = selection.n_read
            if part.n_events == max_events:
                break
        else:
            run.check_end()
        if progress:
            progress(selection.n_read - n_reported, 1.0)
        if run.objects.primary_id == -1:
            raise _NoShower
        # events without data of a selected telescope never come out of the source
        selection.dropped["no_image"] = selection.n_read - sum(selection.dropped.values()) - part.n_events

    def _calibrator(self, run):
        from ctapipe.calib import CameraCalibrator
        from ctapipe.image.extractor import ImageExtractor as Extractor

        name = self.settings["calibration"]["extractor"]
        known = sorted(Extractor.non_abstract_subclasses())
        if name not in known:
            raise ConfigError(f"[calibration] extractor = {name}: must be one of {', '.join(known)}")
        return CameraCalibrator(subarray=run.subarray, image_extractor_type=name)

    def _check_times(self, dl1):
        if images.has_timing(self.settings["image"]["mode"]) and any(tel.peak_time is None for tel in dl1.values()):
            name, mode = self.settings["calibration"]["extractor"], self.settings["image"]["mode"]
            raise ConfigError(f"[calibration] extractor = {name} gives no peak time, which [image] mode = {mode} needs")

    def _counts(self, run, selection, part):
        return {
            "events_read": selection.n_read,
            **{f"dropped_{reason}": n for reason, n in selection.dropped.items()},
            "events_written": part.n_events,
            "calibration_events": run.objects.n_calibration,
            "images": sum(part.n_images.values()),
            "clipped_pixels": part.n_clipped,
            "bins_cuts_dict": self.dictionary_name,
            "bins_cuts_dict_sha256": self.dictionary_sha256,
        }

    @staticmethod
    def _report(row, layout, part):
        from . import sources

        by_type = {short: sum(part.n_images[tel_id] for tel_id in ids) for short, ids in layout.types.items()}
        plain = {name: value.item() if hasattr(value, "item") else value for name, value in row.items()}
        cameras = {name: table for name, (table, _) in layout.cameras.items()}
        kind = sources.digest(layout.tel_table, cameras)
        return {"status": "written", **plain, "images_by_type": by_type, "telescopes": kind}


def _truth(index, shower):
    """Return the EVENT_COLUMNS of an event but the reconstructed energy and run_index."""
    return (
        index.event_id,
        index.obs_id,
        shower.shower_primary_id,
        shower.core_x.to_value("m"),
        shower.core_y.to_value("m"),
        shower.h_first_int.to_value("m"),
        shower.energy.to_value("TeV"),
        shower.alt.to_value("rad"),
        shower.az.to_value("rad"),
    )


def main(arguments=None):
    """Run the command; returns the exit code."""
    from .command import main as run_command

    return run_command(arguments)
