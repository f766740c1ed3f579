"""The settings: one configspec, the only copy of their names, types and defaults.

``python -m image_extractor.config FILE`` writes a default file with a comment on every key,
``--mode val`` validates a file, ``--mode spec`` writes the spec.

Settings travel through the package as the nested dict that :func:`load` and :func:`from_keywords`
return: ``settings["image"]["dtype"]``. Nothing else makes such a dict, so it is always valid.
"""

import difflib
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

if __name__ == "__main__" and not __package__:  # run by its path, as in the first version: Python knows no package then
    import runpy

    folder = Path(__file__).resolve().parent
    sys.path = [str(folder.parent), *(path for path in sys.path if Path(path).resolve() != folder)]
    runpy.run_module("image_extractor.config", run_name="__main__", alter_sys=True)  # which ends in sys.exit

from configobj import ConfigObj, ConfigObjError, Section, flatten_errors, get_extra_values

from . import whole_files
from .energy_bins import UNITS, EnergyBins
from .errors import ConfigError
from .settings.checks import MANY, VALIDATOR, shown, wrong
from .settings.combinations import BY_TELESCOPE, impossible
from .telescopes import is_usual, unknown_name
from .terminal.arguments import Parser, user_path
from .terminal.exit_codes import OK, code_of
from .terminal.interruption import interruptible
from .terminal.logs import log_to_stderr

__all__ = [
    "SPEC",
    "Settings",
    "check_names",
    "default_text",
    "defaults",
    "dumps",
    "energy_bins",
    "from_keywords",
    "keyword_names",
    "load",
    "loads",
    "main",
    "spec",
    "write_new",
]

#: Checked settings, nested by section.
Settings = dict[str, Any]

UNIT_NAMES = ", ".join(map(repr, UNITS))

MAPPINGS = "'shifting', 'axial', 'oversampling', 'nearest', 'bilinear', 'bicubic', 'rebinning'"

SPEC = f"""\
# What a learner is to tell: gh_class sorts events by energy bin, energy_recon labels them with one.
mode = option('gh_class', 'energy_recon', default='gh_class')
# all: rows of Events hold the images of all telescopes; mapped: images are in arrays of their own, rows point there.
storage_mode = option('all', 'mapped', default='all')
# True: only events of the bins_cuts_dict are written, and a missing dictionary is an error.
use_pkl_dict = boolean(default=True)

[image]
# Channels: charge, then the peak time with TIMING, then zeros.
mode = option('PIXELS_3C', 'PIXELS_1C', 'PIXELS_TIMING_2C', 'PIXELS_TIMING_3C', default='PIXELS_3C')
# Every pixel of the array becomes scale_factor x scale_factor equal ones.
scale_factor = integer(min=1, max=100, default=2)
# float32 holds p.e. and ns as they are. Integers hold round(value * scale), clipped and counted where it does not fit;
# unsigned ones hold negative charges as 0, and that is about every second pixel, as most see no light: counted, too.
dtype = option('uint16', 'uint32', 'int16', 'int32', 'float32', default='float32')
# Place of the channel axis.
dim_order = option('channels_last', 'channels_first', default='channels_last')
# Stored counts per photo-electron, for integer dtypes.
charge_scale = float(min=1e-6, max=1e6, default=100.0)
# Stored counts per nanosecond of peak time, for integer dtypes.
time_scale = float(min=1e-6, max=1e6, default=100.0)
# How a camera becomes a square array: shifting and axial keep its pixels, one per cell; the others resample it onto
# square cells in true x and y (oversampling and rebinning conserve charge, the others interpolate).
mapping = option({MAPPINGS}, default='shifting')
# auto, or cells per side for the mappings that resample.
shape = auto_or_integer(min=8, max=1000, default='auto')
    # Another mapping for single telescope types, cameras or optics, a line each, such as SST = shifting.
    [[mapping_of]]
    __many__ = option({MAPPINGS})
    # Another shape for single ones, a line each, such as LSTCam = 110.
    [[shape_of]]
    __many__ = auto_or_integer(min=8, max=1000)

[telescope]
# SST, LST, MST, SCT, ALL, the name of a camera or its optics, or several joined by +, such as LST+NectarCam.
type_mode = type_mode(default='SCT')
# Only these telescopes of the types above; empty: all of them.
tel_ids = tel_ids(default=list())

[calibration]
# Any ctapipe ImageExtractor. Its own settings go to a section of its name, below: [[NeighborPeakWindowSum]], and there
# window_width = 7.
extractor = string(min=1, max=100, default='NeighborPeakWindowSum')
# True: read by compiled loops and decode only what is needed. The images are the same, bit for bit.
fast = boolean(default=True)
    # Another extractor for single telescope types, cameras or optics, a line each: FlashCam = FlashCamExtractor.
    [[extractor_of]]
    __many__ = string(min=1, max=100)
    [[__many__]]
    __many__ = parameter

# gh_class without a dictionary takes its bins of the true energy from here; a dictionary's bins must be among them.
[energy_bins]
# Unit of energy.
units = option({UNIT_NAMES}, default='TeV')
# log10: min, max and bin_size are those of the logarithm of the energy.
scale = option('log10', 'linear', default='log10')
# Lower edge of the first bin.
min = float(default=-1.0)
# Upper edge of the last bin.
max = float(default=1.0)
# Width of every bin: (max - min) must be a whole number of bins.
bin_size = float(default=0.5)

# What prepare_cuts_dict.py applies to EventDisplay's events: low, high for low <= value < high; None is an open end.
[preselection_cuts]
# Mean scaled width.
MSCW = cut(default=list(-2.0, 2.0))
# Mean scaled length.
MSCL = cut(default=list(-2.0, 5.0))
# Reduced chi2 of the energies of the telescopes.
EChi2S = cut(default=list(0.0, None))
# Reconstructed energy, TeV.
ErecS = cut(default=list(0.0, None))
# Height of the shower maximum above the telescopes, km.
EmissionHeight = cut(default=list(0.0, 50.0))
# Two branches, then low, high of the root of the sum of their squares, degrees.
MC_Offset = offset_cut(default=list('MCxoff', 'MCyoff', 0.0, 3.0))
# Images used in the stereo reconstruction.
NImages = cut(default=list(3, None))
# Relative error of the energy.
dES = cut(default=list(0.0, None))

[energy_recon]
# True: only gamma rays are stored in this mode.
gamma_only = boolean(default=True)
    # The label of an event is the bin of its true energy.
    [[bins]]
    # Unit of energy.
    units = option({UNIT_NAMES}, default='TeV')
    # log10: min, max and bin_size are those of the logarithm of the energy.
    scale = option('log10', 'linear', default='log10')
    # Lower edge of the first bin.
    min = float(default=-2.0)
    # Upper edge of the last bin.
    max = float(default=2.0)
    # Width of every bin: (max - min) must be a whole number of bins.
    bin_size = float(default=0.05)

[output]
# Compression of images and tables.
compression = option('lz4', 'zstd', 'zlib', 'none', default='lz4')
"""

#: Keys of the first config files, and what they are called now.
ALIASES = {("image", "dim_ordering"): "dim_order"}


# -- loading --------------------------------------------------------------------------------------


def spec() -> ConfigObj:
    """Return the parsed configspec, a ConfigObj whose values are checks."""
    return ConfigObj(SPEC.splitlines(), interpolation=False, list_values=False, _inspec=True)


def defaults() -> Settings:
    """Return the default settings, a nested dict."""
    return _validated(ConfigObj(configspec=spec(), interpolation=False), "defaults")


def load(path: str | Path) -> Settings:
    """Read and check a configuration file.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    dict
        The settings, nested by section, all keys present.

    Raises
    ------
    ConfigError
        With one line for each thing that is wrong: file, section, key, value, what is allowed.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as err:
        raise ConfigError(f"{path}: can't be read: {_reason(err)}") from err
    return loads(text, path)


def loads(text: str, name: str | Path = "config") -> Settings:
    """As :func:`load`, from the text of a configuration file; `name` stands for the file in messages."""
    try:
        config = ConfigObj(text.splitlines(), configspec=spec(), interpolation=False, raise_errors=True)
    except ConfigObjError as err:
        raise ConfigError(f"{name}: not a valid configuration file: {_reason(err)}") from err
    return _validated(config, name)


def from_keywords(keywords: Mapping[str, Any]) -> Settings:
    """Make settings of Python keywords named section_key, such as ``image_dtype``.

    Raises
    ------
    TypeError
        For a keyword that is no setting; the message names the nearest one.
    ConfigError
        For a value that a configuration file could not have either.
    """
    names = keyword_names()
    config = ConfigObj(configspec=spec(), interpolation=False)
    for keyword, value in keywords.items():
        if keyword.startswith("calibration_") and isinstance(value, dict):
            names.setdefault(keyword, tuple(keyword.split("_", 1)))  # settings of an extractor of this name
        if keyword not in names:
            near = difflib.get_close_matches(keyword, names, 1)
            raise TypeError(f"no setting is called {keyword!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
        *sections, key = names[keyword]
        section = config
        for part in sections:
            section = section.setdefault(part, {})
        section[key] = list(value) if isinstance(value, tuple) else value
    return _validated(config, "settings")


def keyword_names() -> dict[str, tuple[str, ...]]:
    """Return {keyword: path of section and key} of every setting.

    Those of single telescopes take a dict, such as ``image_mapping_of={"SST": "shifting"}``. Besides, there is one with
    the name of each extractor, such as ``calibration_NeighborPeakWindowSum={"window_width": 7}``.
    """
    paths: list[tuple[str, ...]] = []
    spec().walk(lambda section, key: paths.append((*_section_path(section), key)))
    paths = [path[:-1] if path[-1] == MANY else path for path in paths if path[-2:] != (MANY, MANY)]
    return {"_".join(path): path for path in paths}


def dumps(settings: Settings) -> str:
    """Return settings as the text of a configuration file, comments left out."""
    text = ConfigObj(settings, interpolation=False)
    for name, key in BY_TELESCOPE:  # readers of format 1.0 know none of them
        if text.get(name, {}).get(key) == {}:
            del text[name][key]
    return "\n".join(text.write())


def energy_bins(settings: Settings) -> EnergyBins:
    """Return the :class:`EnergyBins` that the run mode of these settings uses."""
    if settings["mode"] == "energy_recon":
        return EnergyBins(**settings["energy_recon"]["bins"])
    return EnergyBins(**settings["energy_bins"])


def _validated(config: ConfigObj, name: str | Path) -> Settings:
    problems = _sections_for_values(config, config.configspec, name) or _rename_aliases(config, name)
    if problems:
        raise ConfigError("\n".join(problems))
    result = config.validate(VALIDATOR, preserve_errors=True)
    problems = [_describe(config, name, *error) for error in flatten_errors(config, result)]
    problems += [_unknown(config, name, *extra) for extra in get_extra_values(config)]
    settings: Settings = config.dict()
    if not problems:
        problems = [f"{name}: {problem}" for problem in impossible(settings)]
    if problems:
        raise ConfigError("\n".join(problems))
    return settings


def _sections_for_values(
    config: Section, checks: Section, name: str | Path, sections: tuple[str, ...] = ()
) -> list[str]:
    """Return a line for each section in the place of a value, which configobj's validation can't handle."""
    problems: list[str] = []
    for key in set(config.sections) & set(checks):
        if not isinstance(checks[key], dict):
            problems.append(f"{name}: {_where(sections)}{key} must be a value, not a section")
        else:
            problems += _sections_for_values(config[key], checks[key], name, (*sections, key))
    return problems


def _rename_aliases(config: ConfigObj, name: str | Path) -> list[str]:
    problems = []
    for (section, old), new in ALIASES.items():
        values = config.get(section)
        if not isinstance(values, Section) or old not in values:
            continue
        if new in values:
            problems.append(f"{name}: [{section}] {old} and {new} are the same key: keep one")
        values.rename(old, new) if new not in values else values.pop(old)
    return problems


def _describe(config: ConfigObj, name: str | Path, sections: Sequence[str], key: str | None, error: object) -> str:
    where = _where(sections)
    if key is None:
        return f"{name}: {where}must be a section, not a value"
    section, checks = config, config.configspec
    for part in sections:
        section, checks = section[part], checks[part] if part in checks else checks[MANY]
    check = checks.get(key, checks.get(MANY))
    if isinstance(check, dict):
        return f"{name}: {where}{key} must be a section, not a value"
    if isinstance(section.get(key), dict):
        return f"{name}: {where}{key} must be a value, not a section"
    return f"{name}: {where}{key} = {shown(section.get(key))}: {wrong(check, section.get(key))}"


def _unknown(config: ConfigObj, name: str | Path, sections: Sequence[str], key: str) -> str:
    section, checks = config, config.configspec
    for part in sections:
        section, checks = section[part], checks.get(part, {})
    where = _where(sections)
    known = [known for known in checks if known != MANY]
    near = difflib.get_close_matches(key, known, 1)
    listed = f"; known here: {', '.join(known)}" if known else ""
    hint = f"; did you mean {near[0]}?" if near else listed
    what = f"section [{shown(key)}]" if isinstance(section[key], dict) else f"key {shown(key)} = {shown(section[key])}"
    return f"{name}: {where}unknown {what}{hint}"


def _where(sections: Sequence[str]) -> str:
    return "".join("[" * depth + name + "]" * depth + " " for depth, name in enumerate(sections, 1))


def _section_path(section: Section) -> list[str]:
    path: list[str] = []
    while section.parent is not section:
        path.insert(0, section.name)
        section = section.parent
    return path


def _reason(err: Exception) -> str:
    if isinstance(err, UnicodeDecodeError):
        return "not a text file"
    return " ".join(str(getattr(err, "strerror", None) or err).split())


# -- the command ----------------------------------------------------------------------------------


def default_text() -> str:
    """Return a default configuration file with a comment on every key."""
    config = ConfigObj(configspec=spec(), interpolation=False)
    config.validate(VALIDATOR, copy=True)
    return "\n".join(config.write()).strip() + "\n"


def check_names(settings: Settings, name: str | Path) -> None:
    """Raise ConfigError for names that ctapipe does not have. Those of telescopes may yet be right: files tell.

    Parameters
    ----------
    settings : dict
    name : str or Path
        Stands for the file in messages.
    """
    from .settings.extractors import check

    words = [("[telescope] type_mode", word) for word in settings["telescope"]["type_mode"].split("+")]
    words += [(f"[{section}] [[{key}]]", word) for section, key in BY_TELESCOPE for word in settings[section][key]]
    problems = [f"{where}: {unknown_name(word)}" for where, word in words if not is_usual(word)]
    try:
        check(settings["calibration"])
    except ConfigError as err:
        problems += str(err).splitlines()
    if problems:
        raise ConfigError("\n".join(f"{name}: {problem}" for problem in problems))


def write_new(path: str | Path, text: str) -> None:
    """Write a file that must not be there yet."""
    try:
        whole_files.write_new(Path(path), text.encode())
    except FileExistsError as err:
        raise ConfigError(f"{path}: exists already; remove it or choose another name") from err
    except OSError as err:
        raise ConfigError(f"{path}: can't be written: {_reason(err)}") from err


def main(arguments: Sequence[str] | None = None) -> int:
    """Write, check or specify a configuration file; returns the exit code."""
    parser = Parser(prog="python -m image_extractor.config", description="Make or check a configuration file.")
    parser.add_argument("file", type=user_path, help="the configuration file")
    parser.add_argument(
        "--mode",
        choices=["gen", "val", "spec"],
        default="gen",
        help="gen: write a file of defaults; val: check a file; spec: write the configspec (default: gen)",
    )
    options = parser.parse_args(arguments)
    log_to_stderr(logging.WARNING, "%(message)s")
    log = logging.getLogger(__name__)
    log.setLevel(logging.INFO)
    try:
        with interruptible():
            log.info("%s: %s", options.file, _done(options.file, options.mode))
    except KeyboardInterrupt as interrupt:
        log.error("interrupted")
        return code_of(interrupt)
    except ConfigError as err:
        for line in str(err).splitlines():
            log.error("%s", line)
        return code_of(err)
    return OK


def _done(path: str, mode: str) -> str:
    """Do what the command is asked for; return in a word what was done."""
    if mode == "val":
        check_names(load(path), path)
        return "valid"
    write_new(path, SPEC if mode == "spec" else default_text())
    return "written"


if __name__ == "__main__":
    sys.exit(main())
