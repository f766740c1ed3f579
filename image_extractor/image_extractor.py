"""ImageExtractor: simtel events in, rows and images out."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import config
from .cuts import dictionary
from .errors import ConfigError
from .input_files import find_files

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from .analysis.event_chooser import EventChooser
    from .batch.many_files import Outcome, Progress, Report
    from .conversion.converter import Converter

__all__ = ["ImageExtractor"]

log = logging.getLogger(__name__)

#: {(run number, event number): (bin, reconstructed energy in TeV)}
Cuts = Mapping[tuple[int, int], tuple[int, float]]


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
    tables : str or Path, optional
        Lookup tables in the place of a dictionary: events are reconstructed of all telescopes in the pass that
        converts, and cut on as prepare_cuts_dict.py does.
    **settings
        Every other setting, named section_key, with the default of the configspec:
        ``storage_mode="mapped", image_mode="PIXELS_1C", telescope_type_mode="LST+MST"``;
        ``config.keyword_names()`` lists them.

    Raises
    ------
    ConfigError
        For whatever a configuration file could not say either, and for a wrong dictionary.
    DatasetError
        For wrong tables.
    TypeError
        For a keyword that is no setting.
    """

    def __init__(
        self,
        output_path: str | Path,
        bins_cuts_dict: Cuts | str | Path | None,
        mode: str,
        tables: str | Path | None = None,
        **settings: Any,
    ) -> None:
        self._set_up(output_path, bins_cuts_dict, config.from_keywords({"mode": mode, **settings}), tables)

    @classmethod
    def from_config(
        cls,
        output_path: str | Path,
        bins_cuts_dict: Cuts | str | Path | None,
        config_file: str | Path | config.Settings,
        tables: str | Path | None = None,
    ) -> ImageExtractor:
        """Make an extractor with the settings of a configuration file.

        Parameters
        ----------
        output_path, bins_cuts_dict, tables
            As for the class.
        config_file : str, Path or dict
            A path, or settings as `config.load` gives.

        Returns
        -------
        ImageExtractor
        """
        settings = config_file if isinstance(config_file, dict) else config.load(config_file)
        extractor = cls.__new__(cls)
        extractor._set_up(output_path, bins_cuts_dict, config.loads(config.dumps(settings), "settings"), tables)
        return extractor

    def _set_up(
        self,
        output_path: str | Path,
        bins_cuts_dict: Cuts | str | Path | None,
        settings: config.Settings,
        tables: str | Path | None,
    ) -> None:
        self.output_path = Path(output_path)
        self.settings = settings
        if tables is not None and bins_cuts_dict is not None:
            raise ConfigError("a bins_cuts_dict and lookup tables are given: give one of them")
        if settings["use_pkl_dict"] and bins_cuts_dict is None and tables is None:
            raise ConfigError("use_pkl_dict = True but no bins_cuts_dict is given: give one, or set it to False")
        if not settings["use_pkl_dict"] and (bins_cuts_dict is not None or tables is not None):
            what, it = ("a bins_cuts_dict is", "the file") if tables is None else ("lookup tables are", "them")
            raise ConfigError(f"{what} given but use_pkl_dict = False: set it to True, or leave {it} out")
        self._chooser = None if tables is None else self._made_chooser(tables)
        self.bins_cuts_dict = self._checked_cuts(bins_cuts_dict)

    def _checked_cuts(self, given: Cuts | str | Path | None) -> dictionary.Dictionary | None:
        if given is None:
            return None
        bins = config.energy_bins(self.settings) if self.settings["mode"] == "gh_class" else None
        return dictionary.load(given, bins) if isinstance(given, str | Path) else dictionary.given(given, bins)

    def _made_chooser(self, tables: str | Path) -> EventChooser:
        from .batch.found_cuts import event_chooser

        chooser: EventChooser = event_chooser(self.settings, tables)
        return chooser

    # -- what the command runs ---------------------------------------------------------------------

    def process_files(
        self,
        files: str | Iterable[str | Path],
        max_events: int | None = None,
        jobs: int = 1,
        *,
        executor: Executor | Any = None,
        files_per_output: int | None = None,
        seed: int | None = None,
        split: Mapping[str, float] | None = None,
        overwrite: bool = False,
        on_error: str = "skip",
        on_truncated: str = "refuse",
        command_line: str = "",
        progress: Progress | None = None,
        save_cuts_dict: str | Path | None = None,
    ) -> Report:
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
        on_truncated : str
            'refuse' a file that ends early, or 'keep' its whole events and mark its run.
        command_line : str
            For the file's provenance.
        progress : many_files.Progress, optional
            Told of events read, files done and the merge.
        save_cuts_dict : str or Path, optional
            With tables: write the dictionary that prepare_cuts_dict.py would make of these files and tables, a table if
            its name ends with .h5, else a pickle. Then no event is passed over by its header.

        Returns
        -------
        many_files.Report
            What became of each file. Those that can't be converted are logged, and are in its ``failed``.

        Raises
        ------
        DatasetError
            If the output is no dataset, was made otherwise, holds an input that was converted otherwise, or is being
            written by another run.
        OSError
            If something can't be written, or no worker is left to do it; the same call goes on.
        """
        from .batch.many_files import convert_files

        if isinstance(files, str):
            files = find_files(files)
        report: Report = convert_files(
            self.converter,
            self.output_path,
            files,
            max_events=max_events,
            jobs=jobs,
            executor=executor,
            files_per_output=files_per_output,
            seed=seed,
            split=split,
            overwrite=overwrite,
            on_error=on_error,
            on_truncated=on_truncated,
            command_line=command_line,
            progress=progress,
            save_cuts_dict=save_cuts_dict,
        )
        for outcome in report.failed:
            log.error("%s", outcome["reason"])
        return report

    def process_data(self, data_file: str | Path, max_events: int | None = None) -> Outcome:
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
        return report.outcomes[0]

    def shuffle_data(self, h5_file: str | Path | None = None, seed: int = 0) -> None:
        """Shuffle every Events table of a dataset, repeatably for a seed.

        Parameters
        ----------
        h5_file : str or Path, optional
            The dataset; default: the output.
        seed : int
        """
        from .batch import merge

        merge.rewrite(h5_file or self.output_path, seed=seed)

    def split_data(self, h5_file: str | Path | None = None, fractions: Mapping[str, float] | None = None) -> None:
        """Split every Events table of a dataset into Events_Training, Events_Validation, Events_Test.

        Parameters
        ----------
        h5_file : str or Path, optional
            The dataset; default: the output.
        fractions : dict, optional
            Such as {"Training": 0.9, "Validation": 0.1}, the default; they must add up to 1.
        """
        from .batch import merge

        merge.rewrite(h5_file or self.output_path, split=fractions or {"Training": 0.9, "Validation": 0.1})

    def select_telescopes(self, data_file: str | Path) -> tuple[dict[str, list[int]], int]:
        """Return the selected telescopes of a file.

        Parameters
        ----------
        data_file : str or Path

        Returns
        -------
        telescopes : dict
            {type: [tel_id, ...]}
        number : int
            Of all of them.
        """
        from . import telescopes
        from .inputs.open_runs import open_runs

        with open_runs(data_file) as runs:
            run = next(iter(runs))
            section = self.settings["telescope"]
            selected = telescopes.select(run.subarray, section["type_mode"], section["tel_ids"])
        return selected, sum(map(len, selected.values()))

    @property
    def converter(self) -> Converter:
        """What converts files one by one, see :class:`image_extractor.conversion.converter.Converter`."""
        from .conversion.converter import Converter

        return Converter(self.settings, self.bins_cuts_dict, self._chooser)
