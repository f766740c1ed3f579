"""Files that appear whole or not at all."""

import pytest

from image_extractor import whole_files


@pytest.mark.parametrize("name", ["file", "f" * 255, "ä" * 127])
@pytest.mark.parametrize("before", [None, b"before"])
def test_a_file_appears_when_it_is_whole(name, before, tmp_path):
    path = tmp_path / name
    if before:
        path.write_bytes(before)
    with whole_files.whole(path) as temporary:
        temporary.write_bytes(b"after")
        assert path.exists() == bool(before)
        assert temporary.suffix == whole_files.TEMPORARY
    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [(name, b"after")]


@pytest.mark.parametrize("before", [None, b"before"])
def test_what_fails_leaves_all_as_it_was(before, tmp_path):
    path = tmp_path / "file"
    if before:
        path.write_bytes(before)

    def write_half():
        with whole_files.whole(path) as temporary:
            temporary.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert [one.read_bytes() for one in tmp_path.iterdir()] == ([before] if before else [])


def test_a_new_file_takes_the_place_of_none(tmp_path, monkeypatch):
    path = tmp_path / "file"
    whole_files.write_new(path, b"one")
    with pytest.raises(FileExistsError):
        whole_files.write_new(path, b"other")
    assert path.read_bytes() == b"one"
    path.unlink()
    monkeypatch.setattr(whole_files, "put_in_place", None)
    with pytest.raises(TypeError):
        whole_files.write_new(path, b"one")
    assert not list(tmp_path.iterdir())
