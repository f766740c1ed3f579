"""Checks of single values of a configuration file, by the names that the configspec gives them."""

import re

from configobj.validate import ValidateError, Validator, VdtTypeError, VdtValueError, is_float

from ..errors import one_line
from ..telescopes import check_type_mode, check_word, normalised

#: The key of a configspec that stands for all that a section may have.
MANY = "__many__"

ALLOWED = {
    "boolean": "True or False",
    "type_mode": "SST, LST, MST, SCT, ALL, the name of a camera or its optics, or several joined by +",
    "tel_ids": "a list of telescope ids such as 1, 2, 5, each once",
    "cut": "two numbers, low < high, or None for an open end",
    "offset_cut": "two branch names, then two numbers, low < high, or None for an open end",
    "fractions": "two numbers above 0 and up to 1",
    "string": "a name",
    "parameter": "one number, True, False, or a word",
    "counts": "telescope types, cameras or names with a number from 1 to 1000 each, such as LST:2, MST:3, each once",
}

#: Checks of numbers, in words.
NUMBERS = {
    "integer": "a whole number",
    "float": "a number",
    "auto_or_integer": "auto, or a whole number",
    "auto_or_float": "auto, or a number",
}

#: Checks of values with commas.
LISTS = ("tel_ids", "cut", "offset_cut", "counts", "fractions")

#: Most telescopes that can be asked for.
MOST_TELESCOPES = 1000


def _auto_or_integer(value, min=None, max=None):
    if value == "auto":
        return value
    return Validator().check(f"integer(min={min}, max={max})", value)


def _auto_or_float(value, min=None, max=None):
    return value if value == "auto" else _float(value, min, max)


def _float(value, min=None, max=None):
    number = is_float(value, min, max)
    if number != number:  # NaN is within all limits
        raise VdtValueError(value)
    return number


def _tel_ids(value):
    items = value if isinstance(value, list | tuple) else [value]
    ids = [int(item) for item in items if str(item).strip()]
    if len(set(ids)) != len(ids) or any(not 0 <= tel_id < 2**31 for tel_id in ids):
        raise VdtValueError(value)
    return ids


def _counts(value):
    """Return words with numbers, such as ["LST:2", "MST:3"], as they are written."""
    items = [str(item) for item in (value if isinstance(value, list | tuple) else [value]) if str(item).strip()]
    pairs = [(word.strip(), int(number)) for word, _, number in (item.rpartition(":") for item in items)]
    words = {normalised(check_word(word)) for word, _ in pairs}
    if len(words) < len(pairs) or "all" in words or any("+" in word for word, _ in pairs):
        raise VdtValueError(value)
    if any(not 1 <= number <= MOST_TELESCOPES for _, number in pairs):
        raise VdtValueError(value)
    return [f"{word}:{number}" for word, number in pairs]


def _open_end(value):
    return None if value is None or str(value) == "None" else float(value)


def _range(items):
    low, high = (_open_end(item) for item in items)
    if low is not None and high is not None and not low < high:
        raise VdtValueError(items)
    if low != low or high != high:  # NaN
        raise VdtValueError(items)
    return [low, high]


def _cut(value):
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise VdtTypeError(value)
    return _range(value)


def _offset_cut(value):
    if not isinstance(value, list | tuple) or len(value) != 4:
        raise VdtTypeError(value)
    return [str(value[0]), str(value[1]), *_range(value[2:])]


def _fractions(value):
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise VdtTypeError(value)
    numbers = [float(item) for item in value]
    if not all(0 < number <= 1 for number in numbers):
        raise VdtValueError(value)
    return numbers


def _parameter(value):
    """Return a value as Python has it: a file has only text, and an option of ctapipe's is of any type."""
    if isinstance(value, bool | int | float):
        return value
    if not isinstance(value, str) or not value.strip():
        raise VdtTypeError(value)
    for known in (True, False):
        if value == str(known):
            return known
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value


def _checked(check):
    """Turn the built-in errors of a check into those that configobj's Validator expects."""

    def checked(value, *args, **kwargs):
        try:
            return check(value, *args, **kwargs)
        except ValidateError:
            raise
        except (TypeError, ValueError, OverflowError) as err:
            raise VdtValueError(value) from err

    return checked


VALIDATOR = Validator(
    {
        "auto_or_integer": _checked(_auto_or_integer),
        "auto_or_float": _checked(_auto_or_float),
        "counts": _checked(_counts),
        "float": _checked(_float),
        "tel_ids": _checked(_tel_ids),
        "cut": _checked(_cut),
        "fractions": _checked(_fractions),
        "offset_cut": _checked(_offset_cut),
        "type_mode": _checked(check_type_mode),
        "parameter": _checked(_parameter),
    }
)


def wrong(check, value):
    """Say in words what a line of the spec admits, and what may be the matter with a value that it does not."""
    if isinstance(value, list | tuple) and check.partition("(")[0] not in LISTS:
        return f"the comma makes a list of it: must be {allowed(check)}"
    return f"must be {allowed(check)}"


def allowed(check):
    """Say in words what a line of the spec admits."""
    name, _, arguments = check.partition("(")
    if name == "option":
        return "one of " + ", ".join(re.findall(r"'([^']*)'", arguments.rpartition(", default")[0] or arguments))
    if name in NUMBERS:
        words = NUMBERS[name]
        limits = dict(re.findall(r"(min|max)=([-+.\de]+)", arguments))
        return words + (f" from {limits['min']} to {limits['max']}" if limits else "")
    return ALLOWED[name]


def shown(value):
    """Return a value as a file would have it, shortened."""
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    text += "," if isinstance(value, list | tuple) and len(value) == 1 else ""
    return one_line(text, 60)
