"""Rules that have one place: where images lie, what stored numbers mean, fractions of a split, exit codes."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from image_extractor import split_fractions
from image_extractor.errors import ConfigError, DatasetError
from image_extractor.hdf5.image_places import has_image, image_rows
from image_extractor.image_scales import scales
from image_extractor.terminal.exit_codes import code_of


def rows_of(name, values):
    rows = np.zeros(len(values), [(name, "<i4" if name == "tel_map" else "u1", (3,))])
    rows[name] = values
    return rows


@pytest.mark.parametrize(
    ("rows", "where"),
    [
        (rows_of("tel_map", [[-1, 0, 7], [5, -1, -1]]), [[-1, 7], [5, -1]]),
        (rows_of("trig_list", [[0, 1, 1], [1, 0, 0]]), [[-1, 10], [11, -1]]),
    ],
)
def test_where_an_image_lies(rows, where):
    assert has_image(rows).tolist() == [[False, True, True], [True, False, False]]
    assert has_image(rows[1]).tolist() == [True, False, False]
    found = image_rows(rows, 10, np.array([0, 2]))
    assert found.dtype == np.int32
    assert found.tolist() == where


def test_floats_are_stored_as_they_are():
    image = {"dtype": "int16", "charge_scale": 100, "time_scale": np.float64(25)}
    assert scales(image) == {"charge_scale": 100.0, "time_scale": 25.0}
    assert scales(image | {"dtype": np.str_("float32")}) == {"charge_scale": 1.0, "time_scale": 1.0}


@pytest.mark.parametrize("fractions", [[1], [0.9, 0.1], [0.33333] * 3, np.array([0.5, 0.5])])
def test_right_fractions(fractions):
    split_fractions.check(fractions)


@pytest.mark.parametrize("fractions", [[], [0.9, 0.2], [1.1, -0.1], [1, 0], [float("nan"), 1], [0.3333] * 3])
def test_wrong_fractions(fractions):
    with pytest.raises(ValueError, match=r"^split fractions .*: must be above 0 and add up to 1$"):
        split_fractions.check(fractions)


def test_exit_codes():
    errors = KeyboardInterrupt(), KeyboardInterrupt(signal.SIGTERM), ConfigError(""), DatasetError(""), OSError()
    assert [code_of(err) for err in errors] == [130, 143, 2, 1, 1]


DROPPED = """
import sys, time
def interrupted(*_, **__):
    class Dropping:
        def __del__(self):
            sys.stdout.write("ready\\n"); sys.stdout.flush(); time.sleep(60)
    Dropping()  # what is raised in a destructor is dropped
    time.sleep(60)
import image_extractor.{room} as room
for name in {names}:
    assert hasattr(room, name)
    setattr(room, name, interrupted)
sys.exit(room.main({arguments}))
"""


@pytest.mark.one_in(3)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize(
    ("room", "name", "arguments"),
    [
        ("commands.read_data", "_show", ["FILE"]),
        ("commands.plot_numtel", "_of_all", ["FILE"]),
        ("commands.visualize_events", "visualize", ["FILE"]),
        ("commands.prepare_cuts_dict", "prepare", ["a", "b", "c"]),
        ("config", "write_new", ["FILE"]),
        ("demo.__main__", "write_demo_file", ["FILE"]),
        ("demo.cuts", "_made", ["FILE", "out", "CONFIG"]),
    ],
)
def test_no_command_loses_an_interruption(room, name, arguments, number, code, tmp_path):
    files = {"FILE": tmp_path / "file.simtel", "CONFIG": tmp_path / "settings.config"}
    for path in files.values():
        path.touch()
    arguments = json.dumps([str(files.get(word, word)) for word in arguments])
    program = DROPPED.format(room=room, names=[name], arguments=arguments)
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.1)
    os.kill(process.pid, number)
    stderr = process.communicate(timeout=30)[1]
    assert process.returncode == code
    assert "interrupted" in stderr.splitlines()[-1]
    assert "Traceback" not in stderr
