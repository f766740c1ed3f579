"""Ctrl-C that comes when the work is done."""

import subprocess
import sys

import pytest

#: What another library does while the interpreter ends, interrupted: its callbacks are registered before the work is done.
INTERRUPTED_AT_EXIT = """
import atexit, os, signal, sys
atexit.register(os.kill, os.getpid(), signal.SIGINT)
from image_extractor.commands.{command} import main
sys.exit(main())
"""


@pytest.mark.parametrize("command", ["convert", "read_data", "make_lookup_tables"])
def test_an_interpreter_that_ends_has_no_work_to_interrupt(command, make_config, tmp_path):
    arguments = [tmp_path / "missing"]
    if command != "read_data":
        arguments += [tmp_path / "out.h5", make_config(use_pkl_dict=command != "convert")]
    code = [sys.executable, "-P", "-c", INTERRUPTED_AT_EXIT.format(command=command), *arguments]
    ended = subprocess.run(code, capture_output=True, text=True, check=False)
    assert "missing" in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert ended.returncode in (1, 2)
