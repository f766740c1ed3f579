"""Exit codes of the commands."""

import signal

from ..errors import ConfigError

#: All went well; something failed; wrong usage or settings; ended by Ctrl-C, or by SIGTERM.
OK, FAILED, USAGE, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143


def code_of(err: BaseException) -> int:
    """Return the exit code of a command that an exception ends."""
    if isinstance(err, KeyboardInterrupt):
        return TERMINATED if err.args == (signal.SIGTERM,) else INTERRUPTED
    return USAGE if isinstance(err, ConfigError) else FAILED
