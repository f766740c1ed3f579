"""Settings that are right one by one, but not together."""

import difflib

from ..energy_bins import EnergyBins
from ..mapping.methods import LOSSLESS
from ..telescopes import check_word, normalised

#: Sections of values for single telescopes: by the words of type_mode.
BY_TELESCOPE = (("image", "mapping_of"), ("image", "shape_of"), ("calibration", "extractor_of"))


def impossible(settings):
    """Yield what is wrong with combinations of settings that are right one by one."""
    for where, bins in (
        ("[energy_bins]", settings["energy_bins"]),
        ("[energy_recon] [[bins]]", settings["energy_recon"]["bins"]),
    ):
        try:
            EnergyBins(**bins)
        except ValueError as err:
            yield f"{where} {err}"
    yield from _impossible_words(settings)
    yield from _impossible_shapes(settings["image"])
    yield from _idle_parameters(settings["calibration"])


def _impossible_words(settings):
    """Yield the keys of values for single telescopes that can't be names of any, or are one and the same."""
    for name, key in BY_TELESCOPE:
        seen = {}
        for word in settings[name][key]:
            where = f"[{name}] [[{key}]] {word}"
            try:
                if normalised(check_word(word)) == "all" or "+" in word:
                    raise ValueError(word)
            except ValueError:
                yield f"{where}: must be SST, LST, MST, SCT, or the name of a camera or its optics, a line for each"
            if normalised(word) in seen:
                yield f"{where} and {seen[normalised(word)]} are the same: keep one"
            seen[normalised(word)] = word


def _impossible_shapes(image_settings):
    """Yield a line for a shape of arrays whose mapping has no choice."""
    mappings = {image_settings["mapping"], *image_settings["mapping_of"].values()}
    if image_settings["shape"] != "auto" and mappings.issubset(LOSSLESS):
        yield (
            f"[image] shape = {image_settings['shape']} with mapping = {image_settings['mapping']}: must be auto, "
            "only mappings that resample have a choice"
        )


def _idle_parameters(calibration):
    """Yield a line for each section of settings of an extractor that no telescope has."""
    used = sorted({calibration["extractor"], *calibration["extractor_of"].values()})
    for name, values in calibration.items():
        if isinstance(values, dict) and name not in ("extractor_of", *used):
            near = difflib.get_close_matches(name, ["extractor_of", *used], 1)
            hint = f"; did you mean {near[0]}?" if near else f"; used are: {', '.join(used)}"
            yield f"[calibration] unknown section [{name}], or an extractor that no telescope has{hint}"
