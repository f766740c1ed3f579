"""Settings: one spec; what is wrong is said in one line each."""

import subprocess
import sys

import pytest

from image_extractor import ConfigError, ImageExtractor, config


def test_generate_validate_and_spec(tmp_path):
    def run(*arguments):
        command = [sys.executable, "-P", "-m", "image_extractor.config", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    path = tmp_path / "settings.config"
    assert run(path).returncode == 0
    assert config.load(path) == config.defaults()
    lines = path.read_text().splitlines()
    keys = [i for i, line in enumerate(lines) if " = " in line and not line.strip().startswith("#")]
    assert len(keys) == len(config.keyword_names())
    assert all(lines[i - 1].strip().startswith("#") for i in keys)  # a comment on every key
    assert run(path, "--mode", "val").returncode == 0
    again = run(path)
    assert (again.returncode, again.stderr.count("\n")) == (2, 1)
    path.write_text(path.read_text().replace("gh_class", "hadronness"))
    invalid = run(path, "--mode", "val")
    assert invalid.returncode == 1
    assert invalid.stderr == f"{path}: mode = hadronness: must be one of gh_class, energy_recon\n"
    assert run(tmp_path / "spec", "--mode", "spec").returncode == 0
    assert (tmp_path / "spec").read_text() == config.SPEC


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mode = foo", "f: mode = foo: must be one of gh_class, energy_recon"),
        ("[image]\nscale_factor = 0", "f: [image] scale_factor = 0: must be a whole number from 1 to 100"),
        ("[image]\nscale_factor = 1.5", "f: [image] scale_factor = 1.5: must be a whole number from 1 to 100"),
        ("[image]\ndtype = uint8", "f: [image] dtype = uint8: must be one of uint16, uint32, int16, int32, float32"),
        ("[image]\ndtyp = uint16", "f: [image] unknown key dtyp = uint16; did you mean dtype?"),
        ("[imag]\ndtype = uint16", "f: unknown section [imag]; did you mean image?"),
        ("image = 3", "f: image must be a section, not a value"),
        ("[mode]\na = 1", "f: mode must be a value, not a section"),
        ("[energy_bins]\nbin_size = 0.3", "f: [energy_bins] min = -1.0, max = 1.0, bin_size = 0.3: max - min must be "
         "a whole number of bins, from 1 to 1000"),
        ("[energy_bins]\nbin_size = 1e-300", "f: [energy_bins] min = -1.0, max = 1.0, bin_size = 1e-300: max - min "
         "must be a whole number of bins, from 1 to 1000"),
        ("[energy_bins]\nmin = nan", "f: [energy_bins] min = nan, max = 1.0, bin_size = 0.5: must be finite numbers"),
        ("[energy_recon]\n[[bins]]\nunits = erg", "f: [energy_recon] [[bins]] units = erg: must be one of eV, keV, MeV, "
         "GeV, TeV, PeV"),
        ("[telescope]\ntype_mode = LTS", "f: [telescope] type_mode = LTS: must be SST, LST, MST, SCT, ALL, a camera's "
         "name, or several joined by +"),
        ("[telescope]\ntel_ids = 1, 1", "f: [telescope] tel_ids = 1, 1: must be a list of telescope ids such as 1, 2, 5, "
         "each once"),
        ("[preselection_cuts]\nMSCW = 2, 1", "f: [preselection_cuts] MSCW = 2, 1: must be two numbers, low < high, or "
         "None for an open end"),
        ("[image]\nshape = 50", "f: [image] shape = 50 with mapping = shifting: must be auto, only mappings that resample "
         "have a choice"),
        ("[image]\ndim_order = channels_last\ndim_ordering = channels_last", "f: [image] dim_ordering and dim_order are "
         "the same key: keep one"),
        ("use_pkl_dict = maybe", "f: use_pkl_dict = maybe: must be True or False"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line(text, message):
    with pytest.raises(ConfigError) as caught:
        config.loads(text, "f")
    assert str(caught.value) == message


def test_every_mistake_has_its_line():
    with pytest.raises(ConfigError) as caught:
        config.loads("mode = foo\nxyz = 1\n[image]\ndtype = bar", "f")
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize("text", ["[a", "mode = 1\nmode = 2", "[image]\n[image]", "a b c", "x = '''"])
def test_what_is_no_configuration_file_is_one_line(text):
    with pytest.raises(ConfigError) as caught:
        config.loads(text, "f")
    assert str(caught.value).startswith("f: not a valid configuration file: ")
    assert len(str(caught.value).splitlines()) == 1


def test_first_versions_spelling():
    assert config.loads("[image]\ndim_ordering = channels_first")["image"]["dim_order"] == "channels_first"


def test_keywords_of_the_class(tmp_path):
    with pytest.raises(TypeError, match="did you mean 'image_mode'"):
        ImageExtractor(tmp_path / "o.h5", None, "gh_class", img_mode="PIXELS_1C")
    with pytest.raises(ConfigError, match=r"\[image\] mode = PIXELS"):
        ImageExtractor(tmp_path / "o.h5", None, "gh_class", image_mode="PIXELS")
    with pytest.raises(ConfigError, match="mode = hadron"):
        ImageExtractor(tmp_path / "o.h5", None, "hadron")


def test_settings_survive_their_file():
    settings = config.from_keywords({"telescope_tel_ids": [3, 5], "preselection_cuts_MSCW": (None, 2.5)})
    assert config.loads(config.dumps(settings)) == settings


@pytest.mark.parametrize("name", ["test_pytables", "test_pytables_1bin", "lst_mst"])
def test_example_files(name):
    from pathlib import Path

    settings = config.load(Path(__file__).parents[1] / "aux" / "config" / f"{name}.config")
    image, bins = settings["image"], settings["energy_bins"]
    found = (settings["storage_mode"], image["mode"], image["scale_factor"], settings["telescope"]["type_mode"])
    edges = bins["min"], bins["max"], bins["bin_size"]
    assert (*found, *edges) == {
        "test_pytables": ("all", "PIXELS_TIMING_3C", 2, "SCT", -1.0, 0.5, 0.5),
        "test_pytables_1bin": ("mapped", "PIXELS_1C", 1, "SCT", -1.0, 1.0, 2.0),
        "lst_mst": ("mapped", "PIXELS_TIMING_2C", 1, "LST+MST", -2.0, 2.0, 1.0),
    }[name]
