"""Settings: one spec; what is wrong is said in one line each."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from image_extractor import ConfigError, ImageExtractor, config

#: Sections that take keys of any name.
FREE = ("[image_cuts]", "[preselection_cuts]")


@pytest.mark.slow
def test_generate_validate_and_spec(tmp_path):
    def run(*arguments):
        command = [sys.executable, "-P", "-m", "image_extractor.config", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    path = tmp_path / "settings.config"
    assert run(path).returncode == 0
    assert config.load(path) == config.defaults()
    lines = path.read_text().splitlines()
    keys = [i for i, line in enumerate(lines) if " = " in line and not line.strip().startswith("#")]
    free = [i for i, line in enumerate(lines) if line.strip().endswith("_of]]") or line in FREE]
    keys += free
    assert len(keys) == len(config.keyword_names())
    assert all(lines[i - 1].strip().startswith("#") for i in keys)  # a comment on every key
    assert run(path, "--mode", "val").returncode == 0
    again = run(path)
    assert (again.returncode, again.stderr.count("\n")) == (2, 1)
    path.write_text(path.read_text().replace("gh_class", "hadronness"))
    invalid = run(path, "--mode", "val")
    assert invalid.returncode == 2
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
        ("[energy_bins]\nmin = nan", "f: [energy_bins] min = nan: must be a number"),
        ("[image]\ncharge_scale = nan", "f: [image] charge_scale = nan: must be a number from 1e-6 to 1e6"),
        ("[energy_recon]\n[[bins]]\nunits = erg", "f: [energy_recon] [[bins]] units = erg: must be one of eV, keV, MeV, "
         "GeV, TeV, PeV"),
        ("[telescope]\ntype_mode = LTS", "f: [telescope] type_mode = LTS: must be SST, LST, MST, SCT, ALL, the name of a "
         "camera or its optics, or several joined by +"),
        ("[image]\ndtype = uint16,", "f: [image] dtype = uint16,: the comma makes a list of it: must be one of uint16, "
         "uint32, int16, int32, float32"),
        ("mode = gh_class,", "f: mode = gh_class,: the comma makes a list of it: must be one of gh_class, energy_recon"),
        ("use_pkl_dict = True,", "f: use_pkl_dict = True,: the comma makes a list of it: must be True or False"),
        ("[image]\nscale_factor = 2,", "f: [image] scale_factor = 2,: the comma makes a list of it: must be a whole "
         "number from 1 to 100"),
        ("[telescope]\ntype_mode = LST, MST", "f: [telescope] type_mode = LST, MST: the comma makes a list of it: must be "
         "SST, LST, MST, SCT, ALL, the name of a camera or its optics, or several joined by +"),
        ("[image]\n[[mapping_of]]\nSST = axial,", "f: [image] [[mapping_of]] SST = axial,: the comma makes a list of it: "
         "must be one of shifting, axial, oversampling, nearest, bilinear, bicubic, rebinning"),
        ("[image]\n[[mapping_of]]\nSST = square", "f: [image] [[mapping_of]] SST = square: must be one of shifting, axial, "
         "oversampling, nearest, bilinear, bicubic, rebinning"),
        ("[image]\n[[mapping_of]]\nLTS = axial", "f: [image] [[mapping_of]] LTS: must be SST, LST, MST, SCT, or the name "
         "of a camera or its optics, a line for each"),
        ("[image]\n[[shape_of]]\nLST+MST = 90", "f: [image] [[shape_of]] LST+MST: must be SST, LST, MST, SCT, or the name "
         "of a camera or its optics, a line for each"),
        ("[image]\n[[mapping_of]]\nSST = axial\nsst = axial", "f: [image] [[mapping_of]] sst and SST are the same: keep "
         "one"),
        ("[image]\n[[mapping_of]]\n[[[SST]]]", "f: [image] [[mapping_of]] unknown section [SST]"),
        ("[image]\n[[mappings_of]]\nSST = axial", "f: [image] unknown section [mappings_of]; did you mean mapping_of?"),
        ("[calibration]\n[[NeighborPeakWidowSum]]\nwindow_width = 7", "f: [calibration] unknown section "
         "[NeighborPeakWidowSum], or an extractor that no telescope has; did you mean NeighborPeakWindowSum?"),
        ("[calibration]\nextractor_of = 3", "f: [calibration] extractor_of must be a section, not a value"),
        ("[telescope]\ntel_ids = 1, 1", "f: [telescope] tel_ids = 1, 1: must be a list of telescope ids such as 1, 2, 5, "
         "each once"),
        ("[preselection_cuts]\nMSCW = 2, 1", "f: [preselection_cuts] MSCW = 2, 1: must be two numbers, low < high, or "
         "None for an open end"),
        ("[image]\nshape = 50", "f: [image] shape = 50 with mapping = shifting: must be auto, only mappings that resample "
         "have a choice"),
        ("[image]\ndim_order = channels_last\ndim_ordering = channels_last", "f: [image] dim_ordering and dim_order are "
         "the same key: keep one"),
        ("use_pkl_dict = maybe", "f: use_pkl_dict = maybe: must be True or False"),
        ("[trigger]\nmin_telescopes = 0", "f: [trigger] min_telescopes = 0: must be a whole number from 1 to 1000"),
        *(
            (f"[{section}]\n{key} = {value}", f"f: [{section}] {key} = {value}: must be telescope types, cameras or names "
             "with a number from 1 to 1000 each, such as LST:2, MST:3, each once")
            for section, key in (("trigger", "min_telescopes_of_type"), ("event_cuts", "min_images_of_type"))
            for value in ("LTS:2", "LST:0", "LST", "LST:2, lst:3", "ALL:2", "LST+MST:2", "LST:two", "LST:2000")
        ),
        ("[image_cuts]\nhillas_width = 2, 1", "f: [image_cuts] hillas_width = 2, 1: must be two numbers, low < high, or "
         "None for an open end"),
        ("[image_cuts]\nhilas_width = 1, 2", "f: [image_cuts] hilas_width: no image parameter; did you mean "
         "hillas_width?"),
        ("[image]\nmode = PIXELS_MASK_2C\n[image_cuts]\ntiming_slope = 0, None", "f: [image_cuts] timing_slope: [image] "
         "mode = PIXELS_MASK_2C has no peak times: take a mode with TIMING"),
        ("[event_cuts]\ntrue_energy = 1", "f: [event_cuts] true_energy = 1: must be two numbers, low < high, or None for "
         "an open end"),
        ("[event_cuts]\ntrue_ofset = 0, 1", "f: [event_cuts] unknown key true_ofset = 0, 1; did you mean true_offset?"),
        ("[cleaning]\npicture = 4\nboundary = 5", "f: [cleaning] the boundary, 5, is above its picture, 4"),
        ("[cleaning]\n[[picture_of]]\nLST = 4\n[[boundary_of]]\nlst = 5", "f: [cleaning] the boundary of LST, 5, is "
         "above its picture, 4"),
        ("[cleaning]\npicture = low", "f: [cleaning] picture = low: must be auto, or a number from 0 to 1e6"),
        ("[cleaning]\n[[picture_of]]\nLTS = 4", "f: [cleaning] [[picture_of]] LTS: must be SST, LST, MST, SCT, or the "
         "name of a camera or its optics, a line for each"),
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


@pytest.mark.parametrize("name", ["test_pytables", "test_pytables_1bin", "lst_mst", "lookup"])
def test_example_files(name):
    settings = config.load(Path(__file__).parents[1] / "aux" / "config" / f"{name}.config")
    image, bins = settings["image"], settings["energy_bins"]
    found = (settings["storage_mode"], image["mode"], image["scale_factor"], settings["telescope"]["type_mode"])
    edges = bins["min"], bins["max"], bins["bin_size"]
    assert (*found, *edges) == {
        "test_pytables": ("all", "PIXELS_TIMING_3C", 2, "SCT", -1.0, 0.5, 0.5),
        "test_pytables_1bin": ("mapped", "PIXELS_1C", 1, "SCT", -1.0, 1.0, 2.0),
        "lst_mst": ("mapped", "PIXELS_TIMING_2C", 1, "LST+MST", -2.0, 2.0, 1.0),
        "lookup": ("mapped", "PIXELS_TIMING_2C", 1, "LST+MST", -1.5, 1.0, 0.5),
    }[name]


@pytest.mark.slow
@pytest.mark.parametrize("elsewhere", [False, True])
def test_the_first_versions_way_to_run_it(elsewhere, tmp_path):
    """By the path of the file, where the package's own image_extractor.py is first on Python's path."""
    root = Path(__file__).parents[1]
    folder, script = (tmp_path, root / "image_extractor" / "config.py") if elsewhere else (root, None)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(*arguments):
        command = [sys.executable, str(script or "image_extractor/config.py"), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment)

    path, spec = tmp_path / "settings.config", tmp_path / "settings.spec"
    written = run(path)
    assert (written.returncode, written.stderr) == (0, f"{path}: written\n")
    assert path.read_text() == config.default_text()
    path.write_text("[calibration]\nextractor = Best")
    checked = run(path, "--mode", "val")
    assert (checked.returncode, checked.stderr.count("\n")) == (2, 1)
    assert run(spec, "--mode", "spec").returncode == 0
    assert spec.read_text() == config.SPEC


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("[telescope]\ntype_mode = lst+LSTN-design+MSTx_FlashCam+gct", []),
        ("[telescope]\ntype_mode = NectarCm", ["[telescope] type_mode: NectarCm is no type, camera or optics known here; "
         "did you mean NectarCam?"]),
        ("[calibration]\nextractor = Best", ["[calibration] extractor = Best: must be one of BaselineSubtracted"]),
        ("[calibration]\n[[extractor_of]]\nFlashCm = FlashCam", ["[calibration] [[extractor_of]]: FlashCm is no type",
         "[calibration] [[extractor_of]] FlashCm = FlashCam: must be one of BaselineSubtracted"]),
        ("[calibration]\n[[NeighborPeakWindowSum]]\nwindow_width = wide\nwindow_with = 3", [
            "[calibration] [[NeighborPeakWindowSum]] window_width = wide: must be an int",
            "[calibration] [[NeighborPeakWindowSum]] unknown key window_with = 3; known here: apply_integration_correction"]),
    ],
)  # fmt: skip
def test_a_check_knows_ctapipes_names(text, messages, tmp_path, caplog):
    path = tmp_path / "settings.config"
    path.write_text(text)
    assert config.main([str(path), "--mode", "val"]) == (2 if messages else 0)
    expected = [f"{path}: {message}" for message in messages] or [f"{path}: valid"]
    assert len(caplog.messages) == len(expected)
    assert all(line.startswith(start) for line, start in zip(caplog.messages, expected, strict=True))


def test_settings_of_single_telescopes_survive_their_file():
    settings = config.from_keywords(
        {
            "image_mapping": "bilinear",
            "image_mapping_of": {"SST": "shifting"},
            "image_shape_of": {"LST": 96},
            "calibration_extractor_of": {"FlashCam": "FlashCamExtractor"},
            "calibration_FlashCamExtractor": {"window_width": 5, "leading_edge_timing": False, "local_weight": 0},
        }
    )
    assert config.loads(config.dumps(settings)) == settings
    assert settings["calibration"]["FlashCamExtractor"]["leading_edge_timing"] is False
    # readers of format 1.0 know no such sections
    assert "_of]]" not in config.dumps(config.defaults())
    assert config.loads(config.dumps(config.defaults())) == config.defaults()
