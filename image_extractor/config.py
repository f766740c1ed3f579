"""The settings: one configspec, the only copy of their names, types and defaults.

``python -m image_extractor.config FILE`` writes a default file with a comment on every key,
``--mode val`` validates a file, ``--mode spec`` writes the spec.

Settings travel through the package as the nested dict that :func:`load` and :func:`from_keywords`
return: ``settings["image"]["dtype"]``. Nothing else makes such a dict, so it is always valid.
"""

import difflib
import functools
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
from .energy_bins import EnergyBins
from .errors import ConfigError
from .settings.checks import MANY, VALIDATOR, shown, wrong
from .settings.combinations import BY_TELESCOPE, bins_alone, impossible
from .settings.spec import SPEC
from .telescopes import COUNTED, counts, is_usual, unknown_name
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
    "dictionary_bins",
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

#: Keys of the first config files, and what they are called now.
ALIASES = {("image", "dim_ordering"): "dim_order"}

#: What format 1.2 brought.
NEW_SECTIONS = ("trigger", "cleaning", "parameters", "image_cuts", "event_cuts", "reconstruction")
NEW_KEYS = (("image", "cleaned"), ("energy_bins", "column"))


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
    _leave_out_defaults(text)
    return "\n".join(text.write())


def _leave_out_defaults(text: ConfigObj) -> None:
    """Leave out what readers of formats before 1.2 do not know, where it is as it was before."""
    usual = _usual()
    for name in NEW_SECTIONS:
        if name in text and text[name].dict() in (usual[name], {key: v for key, v in usual[name].items() if v != {}}):
            del text[name]
    for name, key in NEW_KEYS:
        if text.get(name, {}).get(key) == usual[name][key]:
            del text[name][key]


@functools.cache
def _usual() -> Settings:
    """Return the default settings, not to be changed: parsed once, since each of many files asks."""
    return defaults()


def energy_bins(settings: Settings) -> EnergyBins:
    """Return the :class:`EnergyBins` that the run mode of these settings uses."""
    if settings["mode"] == "energy_recon":
        return EnergyBins(**settings["energy_recon"]["bins"])
    return dictionary_bins(settings)


def dictionary_bins(settings: Settings) -> EnergyBins:
    """Return the :class:`EnergyBins` of [energy_bins], which are those of dictionaries."""
    return EnergyBins(**bins_alone(settings["energy_bins"]))


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
    words += [("[reconstruction] telescopes", word) for word in settings["reconstruction"]["telescopes"].split("+")]
    words += [(f"[{section}] [[{key}]]", word) for section, key in BY_TELESCOPE for word in settings[section][key]]
    words += [(f"[{section}] {key}", word) for section, key in COUNTED for word in counts(settings[section][key])]
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
