"""Scripts whose workers import them again: nothing is to run then."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_workers_of_scripts(production, tmp_path):
    settings, tables, cuts = (tmp_path / name for name in ("settings.config", "tables.h5", "cuts.pkl"))
    settings.write_text("[cleaning]\npicture = 4\n[reconstruction]\nmin_entries = 1\n")
    files = f"{production[0].parent}/gamma*"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for script, arguments in (
        ("make_lookup_tables.py", (files, tables, settings)),
        ("prepare_cuts_dict.py", (files, cuts, settings, "--tables", tables)),
    ):
        command = [sys.executable, ROOT / "scripts" / script, *arguments, "--jobs", "2"]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=300)
        assert done.returncode == 0, done.stderr
    assert cuts.exists()
