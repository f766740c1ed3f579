"""Commands and scripts run as people run them: in processes of their own."""

import os
import subprocess
import sys
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
