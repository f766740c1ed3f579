"""The bytes are right when eventio, which was not written by us, reads back what went in."""

import gzip

import numpy as np
import pytest
from eventio import EventIOFile
from eventio.var_int import unsigned_varint_array, unsigned_varint_arrays_differential, varint_array

from image_extractor.demo import eventio_writer


def read_back(tmp_path, data):
    """The top-level objects of a file of these bytes, each with what eventio parses from it."""
    path = tmp_path / "objects.simtel"
    path.write_bytes(data)
    with EventIOFile(path) as file:
        return [(item.header.type, item.header.id, item.parse()) for item in file]


BORDERS = [0, 1, 127, 128, 16383, 16384, 2**21 - 1, 2**21, 2**28 - 1]


def test_unsigned_integers_of_every_length():
    encoded = eventio_writer.varint_array(BORDERS)
    assert encoded == b"".join(eventio_writer.varint(value) for value in BORDERS)
    values, n_bytes = unsigned_varint_array(encoded, n_elements=len(BORDERS))
    assert (list(values), n_bytes) == (BORDERS, len(encoded))


def test_single_integers_longer_than_28_bits():
    values = [2**28, 2**35 - 1, 2**42, 2**56 - 1, 2**56, 2**63 - 1]
    read, _ = unsigned_varint_array(b"".join(eventio_writer.varint(value) for value in values), n_elements=len(values))
    assert [int(value) for value in read] == values


def test_signed_integers():
    values = [0, -1, 1, -64, 64, -8192, 8192, -(2**20)]
    read, _ = varint_array(b"".join(eventio_writer.signed_varint(value) for value in values), len(values))
    assert list(read) == values


@pytest.mark.parametrize("high", [3, 100, 4096, 65536])
def test_traces(high):
    traces = np.random.default_rng(1).integers(0, high, (2, 50, 17))
    encoded = eventio_writer.differences(traces)
    read, n_bytes = unsigned_varint_arrays_differential(encoded, n_arrays=100, n_elements=17)
    np.testing.assert_array_equal(read.reshape(2, 50, 17), traces)
    assert n_bytes == len(encoded)


def test_no_integers_are_no_bytes():
    assert eventio_writer.varint_array([]) == b""


@pytest.mark.parametrize("tel_id", [1, 99, 100, 255, 256, 499])
def test_telescope_numbers_survive_their_packing(tmp_path, tel_id):
    adc = np.arange(2 * 3 * 4).reshape(2, 3, 4)
    event = eventio_writer.array_event(
        700,
        eventio_writer.trigger_information(700, (10, 20), [tel_id], [1.5], (0.0, 1.2)),
        [eventio_writer.telescope_event(700, tel_id, (10, 20), 1, 1.5, adc, [2])],
        [eventio_writer.tracking_position(tel_id, 0.0, 1.2)],
    )
    path = tmp_path / "event.simtel"
    path.write_bytes(event)
    with EventIOFile(path) as file:
        trigger, telescope, tracking = list(next(file))
        head, traces, pixels = list(telescope)
        assert trigger.parse()["triggered_telescopes"] == [tel_id]
        assert {telescope.telescope_id, traces.telescope_id, pixels.telescope_id, tracking.telescope_id} == {tel_id}
        assert head.parse()["glob_count"] == 700
        np.testing.assert_array_equal(traces.parse(), adc)
        assert list(pixels.parse()["pixel_list"]) == [2]
        assert tracking.parse()["altitude_cor"] == np.float32(1.2)


def test_one_sample_is_written_as_sums(tmp_path):
    adc = np.array([[[900], [950], [4095]], [[5], [0], [7]]])
    path = tmp_path / "event.simtel"
    event = eventio_writer.telescope_event(100, 3, (0, 0), 1, 0.0, adc, [])
    path.write_bytes(
        eventio_writer.array_event(
            100, eventio_writer.trigger_information(100, (0, 0), [3], [0.0], (0, 0)), [event], []
        )
    )
    with EventIOFile(path) as file:
        _, telescope = list(next(file))
        sums = list(telescope)[1]
        assert sums.header.type == 2012
        np.testing.assert_array_equal(sums.parse(), adc[..., 0])


def test_photoelectrons_keep_pixel_and_time(tmp_path):
    pixel = np.array([5, 0, 5, 1854, 5])
    time = np.array([1.0, 2.5, 3.25, -4.0, 5.5])
    path = tmp_path / "pe.simtel"
    path.write_bytes(eventio_writer.telescope_data(100, [eventio_writer.photoelectrons(7, pixel, time, 1855)]))
    with EventIOFile(path) as file:
        (found,) = list(next(file))
        assert found.telescope_id == 6  # eventio counts from 0
        read = found.parse()
    np.testing.assert_array_equal(read["photoelectrons"], np.bincount(pixel, minlength=1855))
    assert list(zip(read["pixel_id"], read["time"], strict=True)) == [
        (0, 2.5),
        (5, 1.0),
        (5, 3.25),
        (5, 5.5),
        (1854, -4.0),
    ]


def test_monitoring(tmp_path):
    rng = np.random.default_rng(2)
    pedestal, noise, factor, shift = rng.random((4, 2, 10)).astype(np.float32)
    data = eventio_writer.camera_monitoring(300, 5, pedestal, noise, n_samples=40, n_modules=3)
    data += eventio_writer.laser_calibration(300, factor, shift)
    (_, _, monitoring), (_, _, laser) = read_back(tmp_path, data)
    assert (monitoring["telescope_id"], laser["telescope_id"], monitoring["n_ped_slices"]) == (300, 300, 40)
    np.testing.assert_array_equal([monitoring["pedestal"], monitoring["noise"]], [pedestal, noise])
    np.testing.assert_array_equal([laser["calib"], laser["tm_calib"]], [factor, shift])


@pytest.mark.parametrize("title", ["odd", "even"])
def test_histograms_follow_one_another(tmp_path, title):
    counts = np.arange(6.0).reshape(2, 3)
    item = eventio_writer.histogram(6, title, counts, (0, 100), (-1, 1))
    empty = eventio_writer.histogram(7, title, np.zeros((2, 2)), (0, 1), (0, 1))
    ((object_type, _, found),) = read_back(tmp_path, eventio_writer.histograms([item, empty, item]))
    assert object_type == 100
    assert [(h["id"], h["title"], h["entries"]) for h in found] == [(6, title, 15), (7, title, 0), (6, title, 15)]
    np.testing.assert_array_equal(found[2]["data"], counts)
    assert (found[0]["lower_x"], found[0]["upper_x"], found[0]["lower_y"], found[0]["upper_y"]) == (0, 100, -1, 1)


def test_an_object_that_its_header_cannot_tell_is_refused():
    with pytest.raises(ValueError, match="type 2010 has 1073741824 bytes"):
        eventio_writer.eventio_object(2010, bytes(2**30))


def test_objects_are_whole_words(tmp_path):
    data = eventio_writer.metadata({"key": "x"})
    assert len(data) % 4 == 0
    path = tmp_path / "meta.gz"
    path.write_bytes(gzip.compress(data * 2))
    with EventIOFile(path) as file:
        assert [item.parse() for item in file] == [{b"key": b"x"}] * 2
