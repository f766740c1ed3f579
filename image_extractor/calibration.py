"""ctapipe's calibration with the extractors, and their own settings, that [calibration] asks for."""

import warnings

from . import images, telescopes
from .errors import ConfigError


class Calibrator:
    """Calibrates the events of a run to one charge per pixel, and one peak time where they are stored.

    Parameters
    ----------
    subarray : ctapipe SubarrayDescription
    settings : dict

    Raises
    ------
    ConfigError
        As :func:`check`.
    """

    def __init__(self, subarray, settings):
        from ctapipe.calib import CameraCalibrator
        from traitlets.config import Config

        calibration = settings["calibration"]
        check(calibration)
        self._mode = settings["image"]["mode"]
        self._names = {tel_id: extractor(telescope, calibration) for tel_id, telescope in subarray.tel.items()}
        default = ("type", "*", calibration["extractor"])
        others = [("id", tel_id, name) for tel_id, name in self._names.items() if name != calibration["extractor"]]
        with warnings.catch_warnings():
            # FlashCamExtractor works out something for every camera of the array, also those that it is not for
            warnings.simplefilter("ignore", RuntimeWarning)
            self._calibrate = CameraCalibrator(
                subarray=subarray, config=Config(parameters(calibration)), image_extractor_type=[default, *others]
            )

    def __call__(self, event):
        """Fill the dl1 level of a ctapipe event; raise ConfigError if an extractor does not give what is stored."""
        self._calibrate(event)
        for tel_id, dl1 in event.dl1.tel.items():
            self._check(tel_id, dl1)

    def _check(self, tel_id, dl1):
        name = self._names[tel_id]
        if images.has_timing(self._mode) and dl1.peak_time is None:
            raise ConfigError(
                f"[calibration] extractor = {name} gives no peak time, which [image] mode = {self._mode} needs"
            )
        if dl1.image.ndim == 2 and len(dl1.image) == 1:  # VarianceExtractor keeps the axis of gains
            dl1.image = dl1.image[0]
        if dl1.image.ndim != 1:
            shape = " x ".join(map(str, dl1.image.shape))
            raise ConfigError(f"[calibration] extractor = {name} gives {shape} values, not one per pixel: take another")


def extractor(telescope, calibration):
    """Return the name of the extractor of a ctapipe TelescopeDescription, by the section [calibration]."""
    key = telescopes.best_key(telescope, calibration["extractor_of"])
    return calibration["extractor"] if key is None else calibration["extractor_of"][key]


def parameters(calibration):
    """Return {extractor: {name: value}} of the extractors' own settings."""
    return {name: dict(values) for name, values in calibration.items() if _is_extractor(name, values)}


def _is_extractor(name, values):
    return isinstance(values, dict) and name != "extractor_of"


def check(calibration):
    """Raise ConfigError, a line for each, for extractors and settings of theirs that ctapipe does not have."""
    from ctapipe.image.extractor import ImageExtractor

    known = ImageExtractor.non_abstract_subclasses()
    named = {"extractor": calibration["extractor"]}
    named |= {f"[[extractor_of]] {word}": name for word, name in calibration["extractor_of"].items()}
    problems = [
        f"[calibration] {key} = {name}: must be one of {', '.join(sorted(known))}"
        for key, name in named.items()
        if name not in known
    ]
    for name, values in parameters(calibration).items():
        if name in known:
            problems += [f"[calibration] [[{name}]] {problem}" for problem in _wrong(known[name], values)]
    if problems:
        raise ConfigError("\n".join(problems))


def _wrong(extractor_class, values):
    """Yield what is wrong with settings of an extractor, asking its traits."""
    from traitlets import TraitError

    traits = extractor_class.class_traits(config=True)
    probe = extractor_class.__new__(extractor_class)  # to ask needs no telescopes
    for key, value in values.items():
        if key not in traits:
            listed = f"known here: {', '.join(sorted(traits))}" if traits else "it has none"
            yield f"unknown key {key} = {value}; {listed}"
            continue
        try:
            setattr(probe, key, value)
        except TraitError as err:
            # of a value for each telescope: the value, what it must be, and the trait
            reason = f"must be {err.args[1]}" if len(err.args) == 3 else " ".join(str(err).split())[:200]
            yield f"{key} = {value}: {reason}"
