"""How images and events were made: what tables and the events that are looked up in them must have in common."""

import math
from dataclasses import dataclass, field

#: Pointings of tables and events may differ by so much [deg].
MOST_APART = 1.0

#: Focal lengths are the same up to the rounding of float32; the kinds of them differ by 1 % and more.
_ROUNDING = 1e-5

#: Files of one telescope give its mirror area to four digits and more, 106.241 m2 and 106.24 m2 of a NectarCam's; no
#: parameter of an image is made with it, it only tells telescopes apart that have the same description.
_AREA_ROUNDING = 1e-3

#: What stands for a setting that a file does not tell.
UNKNOWN = "unknown"

#: Facts of an array in words, and of a telescope; all others go by their names in the settings.
WORDS = {
    "focal_length": "focal length [m]",
    "focal_length_choice": "kind of focal length",
    "mirror_area": "mirror area [m2]",
    "n_pixels": "number of pixels",
}


@dataclass
class Recipe:
    """Facts of plain types, {name: value}, of the array and its settings, and of each kind of telescope.

    Attributes
    ----------
    common : dict
        pointing_az, pointing_alt [deg], focal_length_choice, and the quality cuts of [reconstruction].
    telescopes : dict
        {description: {name: value}}: cleaning, extractor, focal length, mirror area, number of pixels.
    """

    common: dict
    telescopes: dict = field(default_factory=dict)

    def differences(self, other):
        """Yield in words what is another in `other`; values are its first, and telescopes those of both."""
        apart = _separation(self.common, other.common)
        if not apart <= MOST_APART:
            yield f"pointing {_pointing(other.common)}, not {_pointing(self.common)}: {apart:.3g} degrees apart"
        named = [("", self.common, other.common)]
        named += [(f"{name}: ", facts, other.telescopes.get(name, {})) for name, facts in self.telescopes.items()]
        for prefix, mine, theirs in named:
            for name in mine:
                if name in theirs and not name.startswith("pointing_") and not _same(name, mine[name], theirs[name]):
                    yield f"{prefix}{WORDS.get(name, name)} is {_shown(theirs[name])}, not {_shown(mine[name])}"

    def unknown(self, other):
        """Return the names of what only one of two tells, so that it can't be compared; sorted."""
        pairs = [(self.common, other.common)]
        pairs += [
            (facts, other.telescopes[name]) for name, facts in self.telescopes.items() if name in other.telescopes
        ]
        return sorted(
            {
                name
                for mine, theirs in pairs
                for name in mine.keys() & theirs.keys()
                if (mine[name] == UNKNOWN) != (theirs[name] == UNKNOWN)
            }
        )


def _same(name, one, other):
    if UNKNOWN in (one, other):
        return True
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=_AREA_ROUNDING if name == "mirror_area" else _ROUNDING)
    return one == other


def _shown(value):
    return f"{value:g}" if isinstance(value, float) else str(value)


def _pointing(common):
    return f"azimuth {common['pointing_az']:.2f}, altitude {common['pointing_alt']:.2f}"


def _separation(one, other):
    """Return the angle between two pointings [deg]."""
    az, alt, other_az, other_alt = (
        math.radians(facts[name]) for facts in (one, other) for name in ("pointing_az", "pointing_alt")
    )
    haversine = (
        math.sin((alt - other_alt) / 2) ** 2 + math.cos(alt) * math.cos(other_alt) * math.sin((az - other_az) / 2) ** 2
    )
    return math.degrees(2 * math.asin(min(1.0, math.sqrt(haversine))))


def quality(settings):
    """Return what of the section [reconstruction] tables and events must have in common, {name: value}."""
    names = ("telescopes", "min_size", "min_pixels", "spectral_index")
    return {name: settings[name] for name in names} | {"max_loss": ", ".join(map(str, settings["max_loss"]))}
