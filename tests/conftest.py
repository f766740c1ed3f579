"""Fixtures of all tests: inputs, and what makes runs of the command short to write."""

import collections
import signal
import warnings

import pytest
from helpers.random_dataset import VARIANTS, write_dataset
from helpers.reading import content
from helpers.real_files import real_file
from hypothesis import settings

# shells start background jobs, and so would these start their children, deaf to Ctrl-C
signal.signal(signal.SIGINT, signal.default_int_handler)

#: Settings of most runs of many files: all telescopes, charge and time, mapped; any energy, no dictionary.
ANY_EVENT = {"use_pkl_dict": False, "energy_bins_min": -3, "energy_bins_max": 4, "energy_bins_bin_size": 7}
ALL_TELESCOPES = {
    "storage_mode": "mapped", "image_mode": "PIXELS_TIMING_2C", "telescope_type_mode": "ALL", "image_scale_factor": 1,
}  # fmt: skip


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="run all tests, also those that are marked slow")


def pytest_configure(config):
    """Choose how many examples hypothesis tries where a test states no number of its own."""
    settings.register_profile("quick", max_examples=30)
    settings.register_profile("slow", max_examples=150)
    settings.load_profile("slow" if config.getoption("slow") else "quick")


def pytest_collection_modifyitems(config, items):
    """Leave slow tests out, but where they are asked for: by --slow, -m, or the name of a test."""
    if config.getoption("slow") or config.option.markexpr or any("::" in argument for argument in config.args):
        return
    slow = [item for item, is_slow in zip(items, _are_slow(items), strict=True) if is_slow]
    config.hook.pytest_deselected(items=slow)
    slow = set(slow)
    items[:] = [item for item in items if item not in slow]


def _are_slow(items):
    """Say of each test whether it is slow: it is marked so, or is none of its function's one in so many."""
    seen = collections.Counter()
    for item in items:
        function, one_in = item.nodeid.partition("[")[0], item.get_closest_marker("one_in")
        slow = item.get_closest_marker("slow") is not None
        if one_in and not slow:
            slow = seen[function] % one_in.args[0] > 0
            seen[function] += 1
        yield slow


@pytest.fixture(scope="session")
def real():
    """Path of a real simtel file by name."""
    return real_file


@pytest.fixture(scope="session")
def production(tmp_path_factory):
    """Four small synthetic runs of LSTs and SSTs: gammas 1, 2, 10 and protons 1 (productions share run numbers)."""
    from image_extractor.demo import write_demo_file

    folder = tmp_path_factory.mktemp("production")
    runs = [("gamma", 1, 6), ("gamma", 2, 9), ("gamma", 10, 11), ("proton", 1, 5)]
    suffixes = [".simtel.gz", ".simtel.zst", ".simtel", ".simtel.gz"]
    paths = [folder / f"{primary}_run{run}{suffix}" for (primary, run, _), suffix in zip(runs, suffixes, strict=True)]
    for path, (primary, run, events) in zip(paths, runs, strict=True):
        write_demo_file(path, events=events, telescopes="LST:2,SSTC:2", primary=primary, run=run, reuse=2)
    return paths


@pytest.fixture(scope="session")
def all_cameras(tmp_path_factory):
    """A synthetic run with images of all seven cameras."""
    from image_extractor.demo import write_demo_file

    path = tmp_path_factory.mktemp("cameras") / "gamma_run3.simtel.gz"
    telescopes = "LST:1,MSTN:1,MSTF:1,SCT:1,SSTC:2,SSTA:2,SSTD:2"
    write_demo_file(path, events=6, telescopes=telescopes, run=3, energy="5,50", scatter=150)
    return path


@pytest.fixture(scope="session")
def gammas(tmp_path_factory):
    """Bright gammas in all cameras: the path, the summary, and what the generator handed to the byte writer."""
    from helpers.demo_images import write_gammas

    path = tmp_path_factory.mktemp("gamma") / "gamma.simtel.gz"
    return path, *write_gammas(path)


@pytest.fixture(scope="session")
def gamma_images(gammas):
    """Every image of the bright gammas, calibrated by ctapipe."""
    from helpers.demo_images import calibrated

    return list(calibrated(gammas[0]))


@pytest.fixture(scope="session")
def proton_images(tmp_path_factory):
    """Every image of protons in all cameras, calibrated by ctapipe."""
    from helpers.demo_images import calibrated, write_protons

    path = tmp_path_factory.mktemp("proton") / "proton.simtel.zst"
    write_protons(path)
    return list(calibrated(path))


@pytest.fixture(scope="session")
def ctapipe_events(tmp_path_factory):
    """Events of four cameras that ctapipe parameterised and reconstructed; see `helpers.reconstructed`.

    `simtel` and `hdf5` are the paths of the file, and of what ctapipe made of it.
    """
    from helpers.reconstructed import reconstructed_by_ctapipe

    from image_extractor.demo import write_demo_file

    folder = tmp_path_factory.mktemp("stereo")
    simtel, hdf5 = folder / "gamma_run7.simtel.gz", folder / "gamma_run7.dl2.h5"
    telescopes = "LST:3,MSTN:4,SCT:2,SSTC:2"
    write_demo_file(simtel, events=16, telescopes=telescopes, energy=(0.3, 20), seed=3, view_cone=1, run=7)
    found = reconstructed_by_ctapipe(simtel, hdf5)
    found.simtel, found.hdf5 = simtel, hdf5
    return found


@pytest.fixture
def warnings_are_errors():
    """Whatever warns, be it of others: in tests of files that are to be read without a word."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.fixture(scope="session", params=VARIANTS)
def dataset_path(request, tmp_path_factory):
    """A dataset of random numbers in each way to store one."""
    return write_dataset(tmp_path_factory.mktemp("variants") / "data.h5", **VARIANTS[request.param])


@pytest.fixture(scope="session")
def mapped_path(tmp_path_factory):
    """A dataset of random numbers, uncompressed and mapped."""
    return write_dataset(tmp_path_factory.mktemp("mapped") / "data.h5")


@pytest.fixture
def make_config(tmp_path):
    """Return a function that writes a configuration file with the given settings (keywords section_key)."""

    def make(name="test.config", **settings):
        return write_config(tmp_path / name, **settings)

    return make


def write_config(path, **settings):
    from image_extractor import config

    path.write_text(config.dumps(config.from_keywords(ANY_EVENT | settings)))
    return path


@pytest.fixture
def config(make_config):
    """Settings of most runs of many files."""
    return make_config(**ALL_TELESCOPES)


@pytest.fixture
def convert(tmp_path):
    """Run the command in this process; returns the path of its output. It must end with exit code 0."""
    from image_extractor.commands.convert import main

    def run(path, config, *options, output="dataset.h5", code=0):
        output = tmp_path / output
        assert main([path, output, config, "--jobs", 1, *options]) == code
        return output

    return run


@pytest.fixture(scope="session")
def undisturbed(production, tmp_path_factory):
    """Return the content that a run over the production in one process gives, shuffled and split."""
    from image_extractor.commands.convert import main

    folder = tmp_path_factory.mktemp("undisturbed")
    config = write_config(folder / "test.config", **ALL_TELESCOPES)
    options = "--shuffle", "--split", "--jobs", 1
    assert main([f"{production[0].parent}/*", folder / "o.h5", config, *options]) == 0
    return content(folder / "o.h5")
