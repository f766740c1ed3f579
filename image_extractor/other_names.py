"""A function of another library that finds some of the names it uses elsewhere; the library itself is not changed."""

import types

from .errors import ConfigError
from .tested_versions import tested


def with_names(library, function, **names):
    """Return a function that does as `function` of a library does, but with these objects under their names.

    Raises
    ------
    ConfigError
        If the installed version of the library does not use the names.
    """
    code = getattr(function, "__code__", None)
    for name in names:
        if code is None or name not in code.co_names:
            what = f"{function.__qualname__} of this version of {library} does not use {name} any more"
            raise ConfigError(f"{what}: install {tested(library)}")
    found = function.__globals__ | names
    return types.FunctionType(code, found, function.__name__, function.__defaults__, function.__closure__)
