"""Settings that are right one by one, but not together."""

import difflib

from ..energy_bins import EnergyBins
from ..mapping.methods import LOSSLESS
from ..parameters.columns import NAMES, TIMED
from ..telescopes import check_word, normalised
from ..value_ranges import is_open

#: Cuts on what EventDisplay stores; others are on columns of ctapipe's.
CUTS = ("MSCW", "MSCL", "EChi2S", "ErecS", "EmissionHeight", "MC_Offset", "NImages", "dES")

#: Sections of values for single telescopes: by the words of type_mode.
BY_TELESCOPE = (
    ("image", "mapping_of"),
    ("image", "shape_of"),
    ("calibration", "extractor_of"),
    ("cleaning", "picture_of"),
    ("cleaning", "boundary_of"),
    ("cleaning", "neighbours_of"),
)


def impossible(settings):
    """Yield what is wrong with combinations of settings that are right one by one."""
    for where, bins in (
        ("[energy_bins]", settings["energy_bins"]),
        ("[energy_recon] [[bins]]", settings["energy_recon"]["bins"]),
    ):
        try:
            EnergyBins(**bins_alone(bins))
        except ValueError as err:
            yield f"{where} {err}"
    yield from _impossible_words(settings)
    yield from _impossible_cuts(settings["preselection_cuts"])
    yield from _impossible_shapes(settings["image"])
    yield from _idle_parameters(settings["calibration"])
    yield from _impossible_image_cuts(settings["image_cuts"], settings["image"]["mode"])
    yield from _impossible_thresholds(settings["cleaning"])


def bins_alone(section):
    """Return the part of a section of bins that says what the bins are, not of what."""
    return {key: value for key, value in section.items() if key != "column"}


def _impossible_cuts(cuts):
    """Yield a line for each cut on what neither EventDisplay nor ctapipe has: all of ctapipe's columns have an _."""
    known = [name for name in cuts if name in CUTS]
    for name, limits in cuts.items():
        if name not in CUTS and "_" not in name:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}, and columns of ctapipe's"
            yield f"[preselection_cuts] unknown key {name} = {', '.join(map(str, limits))}; {hint}"


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


def _impossible_image_cuts(cuts, mode):
    """Yield a line for each cut on what is no image parameter, or needs peak times where there are none."""
    for name, limits in cuts.items():
        if name not in NAMES:
            near = difflib.get_close_matches(name, NAMES, 1)
            yield f"[image_cuts] {name}: no image parameter" + (f"; did you mean {near[0]}?" if near else "")
        elif name in TIMED and "TIMING" not in mode and not is_open(limits):
            yield f"[image_cuts] {name}: [image] mode = {mode} has no peak times: take a mode with TIMING"


def _impossible_thresholds(cleaning):
    """Yield a line where the boundary of a cleaning is above its picture."""
    pairs = [("", cleaning["picture"], cleaning["boundary"])]
    boundaries = {normalised(word): value for word, value in cleaning["boundary_of"].items()}
    for word, picture in cleaning["picture_of"].items():
        pairs.append((f" of {word}", picture, boundaries.get(normalised(word), cleaning["boundary"])))
    for whose, picture, boundary in pairs:
        if "auto" not in (picture, boundary) and boundary > picture:
            yield f"[cleaning] the boundary{whose}, {boundary:g}, is above its picture, {picture:g}"


def _idle_parameters(calibration):
    """Yield a line for each section of settings of an extractor that no telescope has."""
    used = sorted({calibration["extractor"], *calibration["extractor_of"].values()})
    for name, values in calibration.items():
        if isinstance(values, dict) and name not in ("extractor_of", *used):
            near = difflib.get_close_matches(name, ["extractor_of", *used], 1)
            hint = f"; did you mean {near[0]}?" if near else f"; used are: {', '.join(used)}"
            yield f"[calibration] unknown section [{name}], or an extractor that no telescope has{hint}"
