"""python -m image_extractor.demo.write: wrong usage, interruptions, and what it says."""

import subprocess
import sys

import pytest
from eventio import SimTelFile

from image_extractor import demo
from image_extractor.demo import production as demo_production
from image_extractor.demo import readout as demo_readout
from image_extractor.demo.__main__ import main
from image_extractor.errors import ConfigError

pytestmark = pytest.mark.usefixtures("warnings_are_errors")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: OUT"),
        (["out.simtel", "--events", "0"], "events: '0' is not a whole number from 1"),
        (["out.simtel", "--events", "many"], "events: 'many'"),
        (["out.simtel", "--events", "1.5"], "events: '1.5'"),
        (["out.simtel", "--telescopes", "LST:4,XST:2"], "type 'XST' is not known; there are: LST, MSTN"),
        (["out.simtel", "--telescopes", "LST"], "'LST' is not a type and a number"),
        (["out.simtel", "--telescopes", "LST:0"], "number of LST: '0'"),
        (["out.simtel", "--telescopes", "LST:1,LST:2"], "type LST is there twice"),
        (["out.simtel", "--telescopes", "LST:300,SCT:300"], "600 telescopes"),
        (["out.simtel", "--primary", "iron"], "primary 'iron' is not known; there are: gamma"),
        (["out.simtel", "--energy", "5"], "energy: '5' is not two energies"),
        (["out.simtel", "--energy", "5,1"], "from the higher to the lower"),
        (["out.simtel", "--energy", "0,1"], "energy: '0'"),
        (["out.simtel", "--energy", "nan,1"], "energy: 'nan'"),
        (["out.simtel", "--energy", "1,inf"], "energy: 'inf'"),
        (["out.simtel", "--reuse", "101"], "reuse: '101' is not a whole number from 1 to 100"),
        (["out.simtel", "--seed", "-1"], "seed: '-1'"),
        (["out.simtel", "--run", "0"], "run: '0'"),
        (["out.simtel", "--event", "3"], "unrecognized arguments: --event 3"),
        (["missing/out.simtel"], "can't write missing/out.simtel: No such file or directory"),
        (["."], "can't write .: is not a regular file"),
        (["/dev/null"], "can't write /dev/null: is not a regular file"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert message in err
    assert list(tmp_path.iterdir()) == []


def test_showers_that_never_trigger_are_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(demo_production, "MIN_SHOWERS", 20)
    with pytest.raises(ConfigError, match=r"only 0 of 1 events triggered in 200 showers: raise --energy"):
        demo.write_demo_file(tmp_path / "out.simtel", events=1, telescopes="SSTD:2", energy=(0.001, 0.002))
    assert list(tmp_path.iterdir()) == []


def test_unknown_settings_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="unknown setting 'event'; there are: events"):
        demo.write_demo_file(tmp_path / "out.simtel", event=3)


@pytest.mark.parametrize("value", [float("inf"), None, "x", 2.5])
def test_values_of_a_wrong_kind_are_refused(value):
    with pytest.raises(ConfigError, match="events: "):
        demo.check_settings(events=value)


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [(KeyboardInterrupt(), 130, "interrupted"), (OSError(28, "No space left on device"), 2, "No space left on device")],
)
def test_what_stops_half_way_leaves_the_old_file(tmp_path, monkeypatch, capsys, error, code, message):
    path = tmp_path / "out.simtel.gz"
    path.write_bytes(b"old")
    digitise = demo_readout.digitise
    calls = []

    def stop_later(*args):
        calls.append(args)
        if len(calls) > 3:
            raise error
        return digitise(*args)

    monkeypatch.setattr(demo_readout, "digitise", stop_later)
    assert main([str(path), "--events", "5", "--telescopes", "LST:2"]) == code
    assert len(calls) == 4
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"old"


def test_the_command_writes_and_says_what(tmp_path):
    path = tmp_path / "out.simtel.gz"
    command = [sys.executable, "-W", "error", "-m", "image_extractor.demo", str(path)]
    command += ["--events", "2", "--telescopes", "LST:2", "--spectral_index", "-2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1
    assert f"{path}: 2 events of " in done.stdout
    assert "4 LSTCam" in done.stdout or "3 LSTCam" in done.stdout
    with SimTelFile(path) as file:
        assert len(list(file)) == 2


def test_help_needs_none_of_the_heavy_packages():
    code = (
        "import sys\nfrom image_extractor.demo.__main__ import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as stop:\n    assert stop.code == 0\n"
        "print(sorted({'numpy', 'scipy', 'ctapipe', 'eventio', 'tables'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")
    assert all(f"--{name}" in done.stdout for name in demo.SETTINGS)
