"""The settings of ctapipe's image extractors, checked by asking their traits."""

from ..errors import ConfigError

#: Settings of extractors that make no sense below 1, though ctapipe takes them, and gives images of zeros.
AT_LEAST_1 = ("window_width", "upsampling")


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
        if key in AT_LEAST_1 and isinstance(value, int) and value < 1:
            yield f"{key} = {value}: must be 1 or more"
            continue
        try:
            setattr(probe, key, value)
        except TraitError as err:
            # of a value for each telescope: the value, what it must be, and the trait
            reason = f"must be {err.args[1]}" if len(err.args) == 3 else " ".join(str(err).split())[:200]
            yield f"{key} = {value}: {reason}"
