"""What the commands that look at datasets have in common: errors in one line, exit codes, needs."""

import importlib
import logging
import os
import sys

from ..errors import ConfigError, DatasetError, InputError, cache_errors, one_line
from .exit_codes import OK, code_of
from .interruption import deaf_at_exit, interruptible
from .logs import log_to_stderr


def one_line_errors(command, *arguments):
    """Run a command and return its exit code; what goes wrong becomes one line on stderr."""
    log_to_stderr(logging.ERROR)
    try:
        with interruptible(), cache_errors():
            code = command(*arguments)
            sys.stdout.flush()
        return code
    except (ConfigError, DatasetError, InputError) as err:
        code, message = code_of(err), str(err).splitlines()[0]
    except BrokenPipeError:  # the reader, such as head, has seen enough
        stop_writing()
        return OK
    except OSError as err:
        code, message = code_of(err), f"{err.filename or 'output'}: {err.strerror or one_line(err)}"
    except KeyboardInterrupt as interrupt:
        code, message = code_of(interrupt), "interrupted"
    finally:
        deaf_at_exit()
    sys.stderr.write(f"{message}\n")
    return code


def stop_writing():
    """Let stdout, which nobody reads any more, go nowhere: Python would complain at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def need(*packages):
    """Raise ConfigError, saying how to get it, if a package is not installed."""
    for package in packages:
        try:
            importlib.import_module(package)
        except ModuleNotFoundError as err:
            raise ConfigError(f"needs {package}: pip install 'image_extractor[scripts]'") from err
