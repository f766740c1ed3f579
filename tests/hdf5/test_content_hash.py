"""content_sha256: the same for the same inputs, settings and seed, however they were written; else another."""

import concurrent.futures
import json

import numpy as np
import pytest
import tables
from helpers.processes import called
from helpers.resealed import changed

from image_extractor import DatasetError, ImageExtractor
from image_extractor.dataset import ImageDataset
from image_extractor.hdf5 import nodes
from image_extractor.viewing import manifest

SETTINGS = {
    "storage_mode": "mapped", "telescope_type_mode": "ALL", "use_pkl_dict": False, "image_scale_factor": 1,
    "image_dtype": "uint16", "energy_bins_min": -3, "energy_bins_max": 4, "energy_bins_bin_size": 7,
}  # fmt: skip


def stated(path):
    with tables.open_file(str(path)) as file:
        return str(file.root._v_attrs.content_sha256)


def written(folder, files, settings=(), steps=None, **options):
    """Return the hash of what these files become, all at once or in these steps."""
    path = folder / "data.h5"
    path.unlink(missing_ok=True)
    extractor = ImageExtractor(path, None, "gh_class", **(SETTINGS | dict(settings)))
    for step in steps or [files]:
        extractor.process_files(step, **({"jobs": 1} | options))
    assert manifest.content_sha256(path) == stated(path)
    return stated(path)


@pytest.fixture(scope="module", params=[{}, {"seed": 3}], ids=["in order", "shuffled"])
def options(request):
    return request.param


@pytest.fixture(scope="module")
def usual(production, options, tmp_path_factory):
    """The hash of all runs, converted at once."""
    return written(tmp_path_factory.mktemp("usual"), production, **options)


WAYS = {
    "two jobs": {"jobs": 2},
    "another compression": {"settings": {"output_compression": "zstd"}},
    "no compression": {"settings": {"output_compression": "none"}},
    "ctapipe's own reader": {"settings": {"calibration_fast": False}},
}


@pytest.mark.one_in(2)
@pytest.mark.parametrize("way", WAYS)
def test_the_same_whatever_the_way(way, usual, options, production, tmp_path):
    assert written(tmp_path, production, **(options | WAYS[way])) == usual


@pytest.mark.one_in(2)
@pytest.mark.parametrize("storage", ["mapped", "all"])
def test_the_same_appended_in_the_same_order(storage, options, production, tmp_path):
    settings = {"storage_mode": storage}
    at_once = written(tmp_path, production, settings, **options)
    for steps in ([production[:1], production[1:]], [production[:3], production[3:]], [[file] for file in production]):
        assert written(tmp_path, production, settings, steps, **options) == at_once


@pytest.mark.slow
def test_the_same_with_an_executor(usual, options, production, tmp_path):
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        assert written(tmp_path, production, executor=executor, **options) == usual


def test_the_same_with_other_chunks_and_in_other_blocks(usual, options, production, tmp_path, monkeypatch):
    from image_extractor.batch import table_passes
    from image_extractor.conversion import part_writer

    monkeypatch.setattr(nodes, "CHUNK_BYTES", 1000)
    monkeypatch.setattr(nodes, "COPY_BYTES", 5000)
    monkeypatch.setattr(part_writer, "BLOCK_BYTES", 3000)
    monkeypatch.setattr(table_passes, "BLOCK_BYTES", 2000)
    assert written(tmp_path, production, **options) == usual


def test_the_same_after_an_interruption(usual, options, production, tmp_path):
    with pytest.raises(ValueError, match="No such file"):
        written(tmp_path, [*production[:2], tmp_path / "missing"], on_error="stop")
    assert list((tmp_path / "data.h5.parts").glob("*.h5"))
    assert written(tmp_path, production, **options) == usual


def test_the_same_shuffled_later(production, tmp_path):
    at_once = written(tmp_path, production, seed=3)
    written(tmp_path, production)
    ImageExtractor(tmp_path / "data.h5", None, "gh_class", **SETTINGS).shuffle_data(seed=3)
    assert stated(tmp_path / "data.h5") == at_once


OTHERS = {
    "another seed": {"seed": 4},
    "split": {"split": {"Training": 0.5, "Validation": 0.5}},
    "fewer events": {"max_events": 5},
    "another scale": {"settings": {"image_charge_scale": 99.0}},
    "another dtype": {"settings": {"image_dtype": "int32"}},
    "another mapping": {"settings": {"image_mapping": "axial"}},
    "other bins": {"settings": {"energy_bins_min": -4, "energy_bins_bin_size": 8}},
    "another storage": {"settings": {"storage_mode": "all"}},
}


@pytest.mark.one_in(2)
@pytest.mark.parametrize("way", OTHERS)
def test_another_for_anything_else(way, usual, options, production, tmp_path):
    assert written(tmp_path, production, **(options | OTHERS[way])) != usual


def test_another_for_other_inputs_or_another_order(production, tmp_path):
    found = {written(tmp_path, files) for files in (production, production[:3], production[::-1])}
    assert len(found) == 3


@pytest.mark.parametrize("what", ["pixel", "label", "unit", "name"])
def test_another_after_one_change(what, production, tmp_path):
    before = written(tmp_path, production)
    with changed(tmp_path / "data.h5") as file:
        if what == "pixel":
            file.root.E0.T1[3, 10, 10, 0] ^= 1
        elif what == "label":
            file.root.E0.Events.modify_column(2, 3, column=np.array([1], np.int32), colname="gamma_hadron_label")
        elif what == "unit":
            file.root.E0.Events._v_attrs["CTAFIELD_3_UNIT"] = "cm"
        else:
            file.rename_node("/Cameras/LSTCam", "LSTCam_2")
    assert stated(tmp_path / "data.h5") == manifest.content_sha256(tmp_path / "data.h5") != before


# -- where it is seen ---------------------------------------------------------------------------------


def test_the_command_tells_it(production, convert, make_config, tmp_path, capsys):
    path = convert(production[2], make_config(telescope_type_mode="ALL"))
    said, value = capsys.readouterr().out, stated(path)
    assert f"SHA-256 of the content: {value}\n" in said
    assert called("read_data", path, "--hash").stdout == f"{value}  {path}\n"
    assert f"SHA-256    {value}\n" in called("read_data", path).stdout
    with ImageDataset(path, "Events", telescopes="LST") as data:
        assert data.content_sha256 == [value]


def test_a_changed_dataset_has_no_hash(production, tmp_path):
    written(tmp_path, production[:1])
    path = tmp_path / "data.h5"
    with tables.open_file(str(path), "a") as file:
        file.root.E0.T1[0, 10, 10, 0] ^= 1
    done = called("read_data", path, "--hash")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{path}: damaged: the hash of its content is " in done.stderr
    with pytest.raises(DatasetError, match="damaged: the hash of its content"):
        manifest.write(path)
    assert not path.with_suffix(".manifest.json").exists()


def test_manifest(production, tmp_path):
    """What it says of inputs is what the file system says."""
    value = written(tmp_path, production, seed=3)
    done = called("read_data", tmp_path / "data.h5", "--manifest")
    target = tmp_path / "data.manifest.json"
    assert (done.returncode, done.stdout) == (0, f"{target}: written\n")
    found = json.loads(target.read_text())
    assert (found["dataset"], found["content_sha256"], found["attributes"]["shuffle_seed"]) == ("data.h5", value, 3)
    inputs = {one["file_name"]: one for one in found["inputs"]}
    assert {name: one["file_size"] for name, one in inputs.items()} == {
        path.name: path.stat().st_size for path in production
    }
    assert all(len(one["file_digest"]) == 64 and one["events_written"] > 0 for one in inputs.values())
    assert "storage_mode = mapped" in found["attributes"]["config"]
