"""May a command write its output there?"""

import os

from ..errors import ConfigError


def check_output(output, inputs, overwrite):
    """Raise ConfigError unless a file can be written there, which is none of the inputs, and may be replaced.

    output : Path
    inputs : list of Path
    overwrite : bool
    """
    if output.is_dir() or not output.parent.is_dir() or not os.access(output.parent, os.W_OK):
        what = "is a folder" if output.is_dir() else f"{output.parent} is not a folder that can be written to"
        raise ConfigError(f"{output}: can't be written: {what}")
    if not output.exists():
        return
    if any(output.samefile(path) for path in inputs):
        raise ConfigError(f"{output}: is an input of this command; choose another name for the output")
    if not overwrite:
        raise ConfigError(f"{output}: exists already; choose another name or add --overwrite")
