"""ctapipe's calibration with the extractors, and their own settings, that [calibration] asks for."""

import contextlib
import logging
import warnings

from .. import config, telescopes
from ..errors import ConfigError, InputError, one_line
from ..inputs.extractor_caches import own_caches
from ..mapping import images
from ..settings.extractors import check, parameters

log = logging.getLogger(__name__)


class Calibrator:
    """Calibrates the events of a run to one charge per pixel, and one peak time where they are stored.

    Parameters
    ----------
    run : a run, see inputs/open_runs.py
    settings : dict

    Attributes
    ----------
    is_dark : bool
        Whether every charge so far was exactly 0.

    Raises
    ------
    ConfigError
        As :func:`check`.
    """

    def __init__(self, run, settings):
        from ctapipe.calib import CameraCalibrator
        from traitlets.config import Config

        calibration, subarray = settings["calibration"], run.subarray
        check(calibration)
        self._mode = settings["image"]["mode"]
        self._names = {tel_id: extractor(telescope, calibration) for tel_id, telescope in subarray.tel.items()}
        default = ("type", "*", calibration["extractor"])
        others = [("id", tel_id, name) for tel_id, name in self._names.items() if name != calibration["extractor"]]
        self._calibration, self._parameters = calibration, parameters(calibration)
        self.is_dark = True
        with warnings.catch_warnings(), self._blaming_settings():
            # FlashCamExtractor works out something for every camera of the array, also those that it is not for
            warnings.simplefilter("ignore", RuntimeWarning)
            self._calibrate = (run.fast_calibrator or CameraCalibrator)(
                subarray=subarray, config=Config(self._parameters), image_extractor_type=[default, *others]
            )
        for own in self._calibrate.image_extractors.values():
            own_caches(own)

    def __call__(self, event):
        """Fill the dl1 level of a ctapipe event; raise ConfigError if an extractor does not give what is stored."""
        if event.r1.tel or event.dl0.tel:  # else it has images already
            with self._blaming_settings():
                self._calibrate(event)
        for tel_id, dl1 in event.dl1.tel.items():
            self._check(tel_id, dl1)
            if self.is_dark and dl1.image.any():
                self.is_dark = False

    @contextlib.contextmanager
    def _blaming_settings(self):
        """Raise what an extractor with settings of its own fails with as ConfigError: ctapipe checks types alone."""
        try:
            yield
        except Exception as err:
            used = set(self._names.values()) & self._parameters.keys()
            if not used or isinstance(err, ConfigError):
                raise
            sections = ", ".join(f"[[{name}]]" for name in sorted(used))
            raise ConfigError(f"[calibration] {sections}: with these settings ctapipe fails: {one_line(err)}") from err

    def _check(self, tel_id, dl1):
        name = self._names[tel_id]
        if images.has_timing(self._mode) and dl1.peak_time is None:
            raise ConfigError(
                f"[calibration] {self._key(name)} gives no peak time, which [image] mode = {self._mode} needs"
            )
        if dl1.image.ndim == 2 and len(dl1.image) == 1:  # VarianceExtractor keeps the axis of gains
            dl1.image = dl1.image[0]
        if dl1.image.ndim != 1:
            shape = " x ".join(map(str, dl1.image.shape))
            raise ConfigError(f"[calibration] {self._key(name)} gives {shape} values, not one per pixel: take another")

    def _key(self, name):
        """Return the line of the settings that asks for an extractor."""
        if name == self._calibration["extractor"]:
            return f"extractor = {name}"
        word = next(word for word, given in self._calibration["extractor_of"].items() if given == name)
        return f"[[extractor_of]] {word} = {name}"


class StoredImages:
    """Checks images that are stored in the input, and are taken as they are.

    Parameters
    ----------
    run : a run, see inputs/open_runs.py
    settings : dict

    Attributes
    ----------
    is_dark : bool
        Whether every charge so far was exactly 0.
    """

    def __init__(self, run, settings):
        self._path, self._mode, self.is_dark = run.input_url, settings["image"]["mode"], True
        self._needs_times = images.has_timing(self._mode)
        asked, usual = ({**one["calibration"], "fast": True} for one in (settings, config.defaults()))
        if asked != usual:
            log.warning("%s: its images are taken as they were made: [calibration] does not apply to them", self._path)

    def __call__(self, event):
        """Raise InputError if an event has no peak times where these are to be stored, or other images than charges."""
        for tel_id, dl1 in event.dl1.tel.items():
            if self._needs_times and dl1.peak_time is None:
                raise InputError(
                    f"{self._path}: no peak times of telescope {tel_id}, which [image] mode = {self._mode} needs"
                )
            if dl1.image.ndim != 1:
                raise InputError(f"{self._path}: images of telescope {tel_id} have not one charge per pixel")
            if self.is_dark and dl1.image.any():
                self.is_dark = False


def extractor(telescope, calibration):
    """Return the name of the extractor of a ctapipe TelescopeDescription, by the section [calibration]."""
    key = telescopes.best_key(telescope, calibration["extractor_of"])
    return calibration["extractor"] if key is None else calibration["extractor_of"][key]
