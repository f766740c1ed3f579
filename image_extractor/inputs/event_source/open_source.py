"""Opening files with the source that ctapipe finds for them."""

import logging
import warnings

from ...errors import InputError
from ...hdf5.dataset_files import open_file
from ...input_files import is_hdf5
from ..ctapipe_hdf5.hdf5_errors import reading_hdf5
from ..unchanged import check_unchanged, identity
from .source_errors import reading_source
from .source_run import SourceRun

log = logging.getLogger(__name__)

#: The attribute of ctapipe's files that says how they are laid out.
VERSION = "CTA PRODUCT DATA MODEL VERSION"

#: What calibration begins with, and ends with.
WAVEFORMS, IMAGES = {"R1", "DL0"}, {"DL1_IMAGES"}


def open_source(path):
    """Return the SourceRuns of a file, None if ctapipe has no source that reads it.

    Raises InputError if the source fails, or has nothing to make images of.
    """
    from ctapipe.io import EventSource

    before = identity(path)
    if is_hdf5(path):
        _check_version(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            kind = type(EventSource.__new__(EventSource, input_url=path))  # whichever says that it can read it
        except ValueError:
            if is_hdf5(path):
                raise _unknown_hdf5(path) from None
            return None
    log.debug("%s: read by %s", path, kind.__name__)
    with reading_source(path, kind):
        source = _opened(kind, path)
    runs = SourceRuns(path, source, before)
    if is_hdf5(path) and kind.__module__.startswith("ctapipe."):
        _check_waveforms(path, runs)
    return runs


def _check_waveforms(path, runs):
    """Say what ctapipe's files lack for the calibration; raise InputError if the installed version can't do without."""
    import ctapipe

    event = runs.next_event
    masks = [event.monitoring.tel[tel_id].camera.coefficients.outlier_mask for tel_id in event.r1.tel] if event else []
    if any(mask is None for mask in masks):
        runs.close()
        raise InputError(
            f"{path}: the installed ctapipe {ctapipe.__version__} can't calibrate waveforms of HDF5 files, as it "
            "knows of no broken pixels there: install a later one"
        )
    if event and runs.is_simulation:
        log.warning(
            "%s: its waveforms are stored without the time shifts of pixels: images differ from those of its simtel "
            "file",
            path,
        )


def _opened(kind, path):
    try:
        return kind(input_url=path)
    except RuntimeError:
        if not hasattr(kind, "focal_length_choice"):
            raise
        source = kind(input_url=path, focal_length_choice="EQUIVALENT")
        log.info("%s: no effective focal length, the equivalent one is used", path)
        return source


def _unknown_hdf5(path):
    return InputError(f"{path}: an HDF5 file that ctapipe does not read: give one of ctapipe-process")


def _check_version(path):
    """Raise InputError if an HDF5 file does not open, or is of a version that the installed ctapipe does not read."""
    import ctapipe
    from ctapipe.io import hdf5eventsource

    with reading_hdf5(path), open_file(path) as file:
        version = str(getattr(file.root._v_attrs, VERSION, ""))
    known = getattr(hdf5eventsource, "COMPATIBLE_DATA_MODEL_VERSIONS", [version])
    if version and version not in known:
        raise InputError(
            f"{path}: of ctapipe's data model {version}; the installed ctapipe {ctapipe.__version__} reads up to "
            f"{known[-1]}: install another, or make the file again with this one"
        )


class SourceRuns:
    """The runs of a source, one after the other; a context manager that closes it at the end.

    Iterating gives :class:`SourceRun`; what is left of one is passed over when the next is asked for. `has_images` says
    whether images are all that there is to take.
    """

    def __init__(self, path, source, before):
        self.path, self._source, self._identity = path, source, before
        self._reading = reading_source(path, type(source))
        self._ahead = None
        self._n_read = 0
        try:
            self._check_levels()
            with self.reading():
                self._events = iter(source)
            self._step()
        except BaseException:
            self.close()
            raise

    def reading(self):
        """Return what turns errors of the source into InputError."""
        return reading_source(self.path, type(self._source))

    def _check_levels(self):
        with self.reading():
            levels = [level.name for level in self._source.datalevels]
        self.has_images = not WAVEFORMS & set(levels)
        if not (WAVEFORMS | IMAGES) & set(levels):
            has = ", ".join(levels) or "nothing"
            raise InputError(
                f"{self.path}: has no images and no waveforms, but {has}: write it by ctapipe-process --write-images"
            )

    def _step(self):
        """Read the next event."""
        with self.reading():
            self._ahead = next(self._events, None)
        self._n_read += self._ahead is not None

    @property
    def is_simulation(self):
        """Whether there is a truth."""
        return bool(self._source.is_simulation)

    @property
    def fraction(self):
        """How much of the source was read, as far as it tells its length."""
        if self._ahead is None:
            return 1.0
        try:
            return min(1.0, self._n_read / len(self._source))
        except (TypeError, ZeroDivisionError):
            return 0.0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __iter__(self):
        if self._ahead is None:
            yield SourceRun(self, self._source, next(iter(self._source.obs_ids), 0))
        known = set()
        while self._ahead is not None:
            obs_id = int(self._ahead.index.obs_id)
            if obs_id in known:
                raise InputError(f"{self.path}: events of run {obs_id} are not one after the other")
            known.add(obs_id)
            yield SourceRun(self, self._source, obs_id)
            for _ in self.events_of(obs_id):
                pass

    @property
    def next_event(self):
        """The event that comes next, None at the end."""
        return self._ahead

    def events_of(self, obs_id):
        """Yield the events of a run that come next."""
        while self._ahead is not None and self._ahead.index.obs_id == obs_id:
            event = self._ahead
            yield event
            if self._ahead is event:
                self._step()

    def check_unchanged(self):
        """Raise InputError if the file was changed or replaced while it was read."""
        check_unchanged(self.path, self._identity)

    def close(self):
        """Close the source."""
        self._source.close()
