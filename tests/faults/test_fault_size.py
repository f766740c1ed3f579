"""Sizes at which other programs break: 2^31 bytes, rows and numbers, hundreds of telescopes."""

import numpy as np
import pytest
import tables
from helpers.faults.tally import IS_LONG, LIMIT
from helpers.marks import quick_and_slow
from helpers.resealed import changed

from image_extractor.batch import merge
from image_extractor.errors import DatasetError
from image_extractor.hdf5 import dataset_files, nodes, replacing


@pytest.mark.parametrize("storage_mode", quick_and_slow(["all", "mapped"], "mapped"))
def test_hundreds_of_telescopes(storage_mode, many_telescopes, make_config, tmp_path, server):
    """HDF5 keeps the description of a table, and attributes, in 64 kB."""
    config = make_config(
        telescope_type_mode="ALL", storage_mode=storage_mode, image_mode="PIXELS_1C", image_scale_factor=1
    )
    ended = server.run([many_telescopes, tmp_path / "o.h5", config], tmp_path, timeout=300)
    assert not ended.improper()
    assert ended.code == 0, ended.stderr
    with tables.open_file(tmp_path / "o.h5") as file:
        assert len(file.root.Tel_Table) == 400
        events = file.root.E0.Events
        n_images = events[:]["tel_map"] >= 0 if storage_mode == "mapped" else events[:]["trig_list"] > 0
        assert n_images.sum() == file.root.Run_Table[0]["images"] > 0


@pytest.mark.skipif(not IS_LONG or LIMIT, reason="in the whole of the long part only")
def test_more_than_2_to_31_bytes(tmp_path):
    """Rows are in place after the merge, beyond every 32-bit offset."""
    dtype = np.dtype([("event_number", "<i8"), ("filler", "<u1", (1 << 20,))])
    with replacing.replacing(tmp_path / "o.h5") as file:
        table = nodes.create_table(file, "/", "Events", dtype, nodes.filters("none"), {})
        for number in range(2100):
            row = np.zeros(1, dtype)
            row["event_number"], row["filler"] = number, number % 251
            nodes.append(table, row)
    assert (tmp_path / "o.h5").stat().st_size > 2**31
    with tables.open_file(tmp_path / "o.h5") as file:
        assert file.root.Events[2099]["event_number"] == 2099
        assert (file.root.Events[2099]["filler"] == 2099 % 251).all()


def test_rows_beyond_2_to_31(tmp_path):
    """A table of so many rows, whose chunks are never made, takes and gives the rows after them."""
    rows = np.array([(1,), (2,), (3,)], [("event_number", "<i8")])
    with dataset_files.open_file(tmp_path / "o.h5", "w") as file:
        table = nodes.create_table(file, "/", "Events", rows.dtype, nodes.filters("none"), {})
        table.truncate(2**31)
        nodes.append(table, rows)
    with dataset_files.open_file(tmp_path / "o.h5") as file:
        assert file.root.Events.nrows == 2**31 + 3
        found = file.root.Events[2**31 :]
    assert (found == rows).all()


def test_more_images_than_a_row_can_point_to(small_runs, make_config, server, tmp_path):
    """tel_map has 32 bits: one line, and the output as it was."""
    config = make_config(telescope_type_mode="SST", storage_mode="mapped", image_scale_factor=1)
    output = tmp_path / "o.h5"
    assert server.run([small_runs[0], output, config], tmp_path).code == 0
    with tables.open_file(output, "a") as file:
        file.root.E0.T1.truncate(2**31 - 2)  # its chunks are never made
    before = output.stat()
    with pytest.raises(DatasetError, match="images of telescope 1"):
        merge.build([output, output], output, tmp_path)
    assert output.stat().st_ino == before.st_ino


def test_event_numbers_beyond_32_bits(small_runs, make_config, server, tmp_path):
    config = make_config(telescope_type_mode="SST", storage_mode="mapped", image_scale_factor=1)
    assert server.run([small_runs[0], tmp_path / "o.h5", config], tmp_path).code == 0
    with changed(tmp_path / "o.h5") as file:
        file.root.E0.Events.modify_column(column=np.array([2**31, 2**40, 2**62]), colname="event_number")
    merge.rewrite(tmp_path / "o.h5", seed=1)
    with tables.open_file(tmp_path / "o.h5") as file:
        assert set(file.root.E0.Events.col("event_number")) == {2**31, 2**40, 2**62}
