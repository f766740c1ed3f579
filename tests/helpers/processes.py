"""Commands run as people run them, in processes of their own; or in this one, where the process is not what is tested."""

import contextlib
import importlib
import io
import logging
import os
import subprocess
import sys
import warnings
from pathlib import Path

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent


def run_command(*arguments, timeout=300, **options):
    """Run the command in a process of its own."""
    command = [sys.executable, "-P", "-m", "image_extractor", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, **options)


def run_script(name, *arguments, **kwargs):
    """Run a script as a user does."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "scripts" / name), *map(str, arguments)]
    kwargs = {"env": environment} | kwargs
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **kwargs)


def called(name, *arguments, cwd="."):
    """Run a command by its room in commands/ in this process, which has all imported: what run_script would return."""
    main = importlib.import_module(f"image_extractor.commands.{name}").main
    stdout, stderr = io.StringIO(), io.StringIO()
    with contextlib.chdir(cwd), _new_logging(), contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = end.code
    return subprocess.CompletedProcess([name, *arguments], code, stdout.getvalue(), stderr.getvalue())


@contextlib.contextmanager
def _new_logging():
    """Let a command set up its log lines and filters of warnings as in a new process, and put back what was before."""
    root, package = logging.getLogger(), logging.getLogger("image_extractor")
    handlers, level = root.handlers, (root.level, package.level)
    root.handlers = []
    root.setLevel(logging.WARNING)
    package.setLevel(logging.NOTSET)
    try:
        with warnings.catch_warnings():
            yield
    finally:
        root.handlers = handlers
        root.setLevel(level[0])
        package.setLevel(level[1])
