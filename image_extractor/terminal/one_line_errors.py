"""What the commands that look at datasets have in common: errors in one line, exit codes, needs."""

import logging
import os
import sys

from ..errors import ConfigError, DatasetError, InputError, cache_errors, one_line

OK, PROBLEMS, USAGE, INTERRUPTED = 0, 1, 2, 130


def one_line_errors(command, *arguments):
    """Run a command and return its exit code; what goes wrong becomes one line on stderr."""
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.ERROR)
    try:
        with cache_errors():
            code = command(*arguments)
        sys.stdout.flush()
        return code
    except ConfigError as err:
        code, message = USAGE, str(err).splitlines()[0]
    except (DatasetError, InputError) as err:
        code, message = PROBLEMS, str(err).splitlines()[0]
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except OSError as err:
        code, message = PROBLEMS, f"{err.filename or 'output'}: {err.strerror or one_line(err)}"
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return INTERRUPTED
    sys.stderr.write(f"{message}\n")
    return code


def need_matplotlib():
    """Raise ConfigError, saying how to get it, if matplotlib is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError as err:
        raise ConfigError("needs matplotlib: pip install 'image_extractor[scripts]'") from err
