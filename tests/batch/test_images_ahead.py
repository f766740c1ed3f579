"""Images that are copied while other files are converted: the same dataset, whatever comes of the other files."""

import errno
import os

import pytest
from helpers.reading import content

from image_extractor import DatasetError, ImageExtractor
from image_extractor.batch import images_ahead
from image_extractor.demo import write_demo_file
from image_extractor.errors import InputError
from image_extractor.hdf5 import nodes
from image_extractor.workers import crew

SETTINGS = {
    "telescope_type_mode": "ALL", "use_pkl_dict": False, "image_scale_factor": 1, "image_mode": "PIXELS_TIMING_2C",
    "energy_bins_min": -3, "energy_bins_max": 4, "energy_bins_bin_size": 3.5, "storage_mode": "mapped",
    "parameters_store": True,
}  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Five files of one array; the third has no event, as it is cut short."""
    folder = tmp_path_factory.mktemp("files")
    paths = [folder / f"gamma_run{run}.simtel" for run in range(1, 6)]
    for run, path in enumerate(paths, 1):
        write_demo_file(path, run=run, events=8, telescopes="LST:2,SSTC:3", scatter=150)
    paths[2].write_bytes(paths[2].read_bytes()[:-1000])
    return paths


@pytest.fixture
def copied(monkeypatch):
    """Small parts go ahead, too; a list of how many sources did so for each merge, None where nothing was used.

    All that is known goes ahead: how much of it is copied in time must not matter.
    """
    found, take_over, results = [], images_ahead.ImagesAhead.take_over, crew.Crew.results
    has_workers = []

    def noted(self, paths):
        while has_workers[-1] and self.work():
            pass
        taken = take_over(self, paths)
        found.append(None if taken is None else taken[2])
        return taken

    def watched(self, *arguments):
        has_workers.append(not self.is_alone)
        return results(self, *arguments)

    monkeypatch.setattr(crew.Crew, "results", watched)
    monkeypatch.setattr(images_ahead, "FEWEST", 1)
    monkeypatch.setattr(images_ahead.ImagesAhead, "take_over", noted)
    return found


def convert(output, files, jobs=2, output_compression="lz4", **options):
    extractor = ImageExtractor(output, None, "gh_class", output_compression=output_compression, **SETTINGS)
    return extractor.process_files(files, jobs=jobs, **options)


def assert_clean(output):
    assert [path.name for path in output.parent.iterdir()] == [output.name]


@pytest.mark.one_in(2)
@pytest.mark.parametrize("passes", [{}, {"seed": 3, "split": {"Training": 0.8, "Test": 0.2}}])
def test_the_dataset_is_that_of_one_process(passes, files, copied, tmp_path):
    outputs = [tmp_path / f"{jobs}.h5" for jobs in (1, 2)]
    for jobs, output in enumerate(outputs, 1):
        report = convert(output, files, jobs, **passes)
        assert [outcome["status"] for outcome in report.outcomes] == ["written"] * 2 + ["failed"] + ["written"] * 2
    assert copied == [None, 4]
    assert content(outputs[0]) == content(outputs[1])


@pytest.mark.one_in(2)
@pytest.mark.parametrize("compression", ["lz4", "none"])
def test_what_is_in_the_output_goes_first(compression, files, copied, tmp_path):
    """Compressed images, that is."""
    outputs = [tmp_path / f"{jobs}.h5" for jobs in (1, 2)]
    for jobs, output in enumerate(outputs, 1):
        convert(output, files[:2], 1, output_compression=compression)
        copied.clear()
        convert(output, files[3:], jobs)
    assert copied == [3 if compression == "lz4" else None]
    assert content(outputs[0]) == content(outputs[1])


def other_telescopes(folder):
    path = folder / "other.simtel"
    write_demo_file(path, run=9, events=8, telescopes="LST:3,SSTC:3", scatter=150)
    return path


def same_run(folder):
    path = folder / "same_run.simtel"
    write_demo_file(path, run=2, seed=5, events=8, telescopes="LST:2,SSTC:3", scatter=150)
    return path


@pytest.mark.one_in(2)
@pytest.mark.parametrize("doubtful", [other_telescopes, same_run])
def test_a_doubtful_file_ends_the_copying(doubtful, files, copied, tmp_path):
    """What comes behind it is copied by the merge, be it in the output or not."""
    inputs = [*files[:2], doubtful(tmp_path), files[4]]
    outputs = [tmp_path / f"{jobs}.h5" for jobs in (1, 2)]
    for jobs, output in enumerate(outputs, 1):
        convert(output, inputs, jobs)
    assert copied == [None, 2]
    assert content(outputs[0]) == content(outputs[1])


def test_a_wrong_guess_is_thrown_away(files, copied, tmp_path, monkeypatch):
    """Whatever makes a part that went ahead stay out."""
    outputs = [tmp_path / "1" / "out.h5", tmp_path / "2" / "out.h5"]
    for output in outputs:
        output.parent.mkdir()
    convert(outputs[0], [files[1], files[3]], 1)
    first = images_ahead.ImagesAhead._add

    def also_another(self, path, outcome):
        if not self._runs:
            first(self, path, outcome | {"runs": []})  # twice, and so not what is to be merged
        first(self, path, outcome)

    monkeypatch.setattr(images_ahead.ImagesAhead, "_add", also_another)
    convert(outputs[1], [files[1], files[3]])
    assert copied == [None, None]
    assert content(outputs[0]) == content(outputs[1])
    assert_clean(outputs[1])


def test_a_damaged_part_is_named_and_made_anew(files, copied, tmp_path, monkeypatch):
    output, damaged = tmp_path / "out.h5", []
    note = images_ahead.ImagesAhead.note

    def damage_first(self, number, path, outcome):
        if not damaged:
            data = bytearray(path.read_bytes())
            place = data.rindex(b"\x02\x01")  # of a chunk's header by Blosc
            data[place + 20] ^= 1
            path.write_bytes(data)
            damaged.append(path)
        note(self, number, path, outcome)

    monkeypatch.setattr(images_ahead.ImagesAhead, "note", damage_first)
    with pytest.raises(OSError, match=r"this part is removed.*\.h5"):
        convert(output, files[:2])
    assert not damaged[0].exists()
    assert not list((tmp_path / "out.h5.parts").glob("*.tmp"))
    assert not output.exists()
    convert(output, files[:2])
    assert_clean(output)


@pytest.mark.slow
def test_what_can_not_be_written_is_said_and_leaves_nothing(files, copied, tmp_path, monkeypatch):
    output = tmp_path / "out.h5"

    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(nodes, "write_chunk", fail)
        with pytest.raises(OSError, match="No space left"):
            convert(output, files[:2])
    assert not output.exists()
    assert not list((tmp_path / "out.h5.parts").glob("*.tmp"))
    convert(output, files[:2])
    assert_clean(output)


@pytest.mark.slow
def test_an_error_that_ends_the_run_leaves_nothing_of_it(files, copied, tmp_path):
    output = tmp_path / "out.h5"
    with pytest.raises(InputError, match=r"gamma_run3\.simtel"):
        convert(output, files, on_error="stop")
    assert not output.exists()
    assert not list((tmp_path / "out.h5.parts").glob("*.tmp"))


@pytest.mark.slow
def test_an_output_that_is_there_is_as_it_was_when_the_merge_fails(files, copied, tmp_path, monkeypatch):
    output = tmp_path / "out.h5"
    convert(output, files[:1])
    before = output.read_bytes()

    def fail(*_):
        raise DatasetError("no")

    monkeypatch.setattr(images_ahead.ImagesAhead, "take_over", fail)
    with pytest.raises(DatasetError, match=r"^no$"):
        convert(output, files, overwrite=True)
    assert output.read_bytes() == before
