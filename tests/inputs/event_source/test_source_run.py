"""Files that ctapipe's EventSource reads, through the command: waveforms in HDF5, and a plugin on the entry point."""

import shutil
import textwrap
import warnings
from pathlib import Path

import numpy as np
import pytest
import tables
from helpers.ctapipe_process import stored_by_ctapipe
from helpers.processes import called, run_command
from helpers.reading import read_dataset
from helpers.same_datasets import assert_same, nodes

from image_extractor.demo import write_demo_file

VERSION = "CTA PRODUCT DATA MODEL VERSION"

#: A plugin whose files name a simtel file; of its events every second one is a pedestal.
PLUGIN = """
    from pathlib import Path

    from ctapipe.containers import EventType
    from ctapipe.io import EventSource, SimTelEventSource

    MARK = b"tiny events\\n"


    class TinySource(EventSource):
        def __init__(self, input_url=None, **kwargs):
            super().__init__(input_url=input_url, **kwargs)
            self.simtel = SimTelEventSource(Path(self.input_url).read_bytes().removeprefix(MARK).decode())

        @staticmethod
        def is_compatible(file_path):
            with Path(file_path).open("rb") as file:
                return file.read(len(MARK)) == MARK

        def _generator(self):
            for number, event in enumerate(self.simtel):
                if number % 2:
                    event.trigger.event_type = EventType.SKY_PEDESTAL
                yield event
            if "broken" in str(self.input_url):
                raise OSError("the tape is torn")

        is_simulation = property(lambda self: True)
        datalevels = property(lambda self: self.simtel.datalevels)
        subarray = property(lambda self: self.simtel.subarray)
        simulation_config = property(lambda self: self.simtel.simulation_config)
        observation_blocks = property(lambda self: self.simtel.observation_blocks)
        scheduling_blocks = property(lambda self: self.simtel.scheduling_blocks)
"""


@pytest.fixture(scope="module")
def simtel(tmp_path_factory):
    path = tmp_path_factory.mktemp("waveforms") / "run6.simtel.gz"
    write_demo_file(path, events=5, telescopes="LST:2,SSTC:1", run=6, reuse=2, energy="1,50")
    return path


@pytest.fixture(scope="module")
def waveforms(simtel, tmp_path_factory):
    """The R1 waveforms of the run, as ctapipe-process stores them."""
    return stored_by_ctapipe(simtel, tmp_path_factory.mktemp("r1") / "run6.r1.h5", write_r1_waveforms=True)


def calibrated(path):
    """Yield the events of an HDF5 file as ctapipe reads and calibrates them."""
    from ctapipe.calib import CameraCalibrator
    from ctapipe.io import HDF5EventSource

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with HDF5EventSource(path) as source:
            calibrate = CameraCalibrator(source.subarray, image_extractor_type="NeighborPeakWindowSum")
            for event in source:
                calibrate(event)
                yield event


@pytest.fixture
def calibrates(waveforms):
    """Skip a test where ctapipe itself does not calibrate such a file."""
    from ctapipe.io import HDF5EventSource

    with warnings.catch_warnings(), HDF5EventSource(waveforms) as source:
        warnings.simplefilter("ignore")
        if next(iter(source)).monitoring.tel[1].camera.coefficients.outlier_mask is None:
            pytest.skip("this ctapipe does not calibrate waveforms of HDF5 files")


def test_waveforms_that_ctapipe_can_not_calibrate(waveforms, config, tmp_path, monkeypatch):
    """So it is of itself in 0.28."""
    from ctapipe.io import HDF5EventSource

    def fill(self, data, tel_id, key, readers):
        if readers:
            data.r1.tel[tel_id] = next(readers[key])

    if hasattr(HDF5EventSource, "_fill_r1_for_tel"):
        monkeypatch.setattr(HDF5EventSource, "_fill_r1_for_tel", fill)
    done = called("convert", waveforms, tmp_path / "o.h5", config, "--jobs", 1)
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if "ERROR" in line]
    assert line.startswith(f"ERROR: {waveforms}: the installed ctapipe ")
    assert "can't calibrate waveforms of HDF5 files" in line


@pytest.mark.usefixtures("calibrates")
def test_waveforms_are_calibrated_as_ctapipe_does(simtel, waveforms, config, convert, caplog):
    output = convert(waveforms, config)
    found = read_dataset(output)
    for stored, event in zip(found, calibrated(waveforms), strict=True):
        assert stored["event_number"] == event.index.event_id
        assert stored["pixels"].keys() == event.dl1.tel.keys()
        for tel_id, dl1 in event.dl1.tel.items():
            np.testing.assert_array_equal(stored["pixels"][tel_id], [dl1.image, dl1.peak_time])
    assert "stored without the time shifts of pixels" in caplog.text
    of_simtel = nodes(convert(simtel, config, output="simtel.h5"))
    for name, expected in of_simtel.items():
        for column in set(expected.dtype.names or ()) & {"event_number", "mc_energy", "tel_map", "uses_read", "tel_x"}:
            np.testing.assert_array_equal(nodes(output)[name][column], expected[column])


def test_images_come_before_waveforms(simtel, config, make_config, convert, tmp_path, caplog):
    """They are those of the simtel file; settings of a calibration do not change them, and that is said."""
    both = stored_by_ctapipe(simtel, tmp_path / "both.h5", write_r1_waveforms=True, write_dl1_images=True)
    whole = convert(simtel, config, output="simtel.h5")
    assert_same(whole, convert(both, config, output="images.h5"))
    assert "[calibration] does not apply" not in caplog.text
    others = make_config("sum.config", storage_mode="mapped", telescope_type_mode="ALL", image_scale_factor=1,
                         image_mode="PIXELS_TIMING_2C", calibration_extractor="FullWaveformSum")  # fmt: skip
    assert_same(whole, convert(both, others, output="others.h5"))
    assert f"{both}: its images are taken as they were made: [calibration] does not apply to them" in caplog.text


def test_waveforms_of_another_version_are_named(waveforms, config, tmp_path):
    later = shutil.copy(waveforms, tmp_path / "later.h5")
    with tables.open_file(later, "a") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore", tables.NaturalNameWarning)
        setattr(file.root._v_attrs, VERSION, "v99.0.0")
    done = called("convert", later, tmp_path / "o.h5", config, "--jobs", 1)
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if "ERROR" in line]
    assert line.startswith(f"ERROR: {later}: of ctapipe's data model v99.0.0; the installed ctapipe ")


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_cut_waveform_files_are_named(waveforms, config, tmp_path, share):
    data = waveforms.read_bytes()
    path = tmp_path / "cut.h5"
    path.write_bytes(data[: int(len(data) * share)])
    done = called("convert", path, tmp_path / "o.h5", config, "--jobs", 1)
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if "ERROR" in line]
    assert line.startswith(f"ERROR: {path}: damaged")


@pytest.fixture
def plugin(simtel, tmp_path, monkeypatch):
    """Install the plugin where processes find it; return a file of it."""
    folder = tmp_path / "installed"
    info = folder / "ctapipe_io_tiny-0.1.dist-info"
    info.mkdir(parents=True)
    (folder / "ctapipe_io_tiny.py").write_text(textwrap.dedent(PLUGIN))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ctapipe_io_tiny\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text("[ctapipe_io]\ntiny = ctapipe_io_tiny\n")
    root = Path(__file__).parents[3]
    monkeypatch.setenv("PYTHONPATH", f"{folder}:{root}")
    path = tmp_path / "run6.tiny"
    path.write_bytes(b"tiny events\n" + str(simtel).encode())
    return path


def test_a_plugin_is_found_by_its_entry_point(plugin, simtel, config, convert, tmp_path):
    broken = tmp_path / "broken.tiny"
    broken.write_bytes(plugin.read_bytes())
    done = run_command(f"{tmp_path}/*.tiny", tmp_path / "o.h5", config, "--jobs", 1)
    assert done.returncode == 1, done.stderr
    assert f"ERROR: {broken}: TinySource fails on it: the tape is torn" in done.stderr.splitlines()
    whole, found = read_dataset(convert(simtel, config)), read_dataset(tmp_path / "o.h5")
    assert len(found) == (len(whole) + 1) // 2
    for event, expected in zip(found, whole[::2], strict=True):
        assert event["event_number"] == expected["event_number"]
        for tel_id, pixels in expected["pixels"].items():
            np.testing.assert_array_equal(event["pixels"][tel_id], pixels)
    (row,) = nodes(tmp_path / "o.h5")["/Run_Table"]
    assert (row["run_number"], row["events_read"], row["calibration_events"]) == (6, len(found), len(whole) // 2)
    again = run_command(plugin, tmp_path / "o.h5", config, "--jobs", 1)
    assert again.returncode == 0
    assert "already" in again.stdout


def test_files_of_no_plugin_are_no_simtel_files(config, tmp_path):
    path = tmp_path / "text.tiny"
    path.write_bytes(b"tiny but unknown\n" * 100)
    done = called("convert", path, tmp_path / "o.h5", config, "--jobs", 1)
    assert f"ERROR: {path}: not a simtel (EventIO) file" in done.stderr.splitlines()
