"""Compiled loops over waveforms against eventio's parser, plain NumPy and ctapipe's own loops, for all inputs."""

import numpy as np
import pytest
from ctapipe.image.extractor import extract_around_peak, neighbor_average_maximum
from eventio.var_int import unsigned_varint_arrays_differential
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from image_extractor.inputs.simtel.waveforms import WaveformRows, highest_sums, read_waveforms, sum_around_peaks
from image_extractor.inputs.simtel.window_sums import rows_of_neighbors

NO_SHIFT = np.float32(0)


def encode(traces):
    """Write rows of samples as sim_telarray does: zigzag differences in 1 to 5 bytes."""
    encoded = bytearray()
    for row in traces:
        for difference in np.diff(row, prepend=0).tolist():
            code = 2 * difference if difference >= 0 else -2 * difference - 1
            n_more = next(n for n in range(5) if code < 1 << (7 * n + 7))
            prefix = 0xFF << (8 - n_more) & 0xFF
            encoded += (code | prefix << (8 * n_more)).to_bytes(n_more + 1, "big")
    return np.frombuffer(bytes(encoded), np.uint8)


def decode(data, n_pixels, n_samples):
    """Return counts of one gain as the loop gives them, calibrated to themselves, and whether they were there."""
    samples, gain = np.zeros((n_pixels, n_samples), np.float32), np.empty(n_pixels, np.int8)
    constants = np.zeros((1, n_pixels), np.float32), np.ones((1, n_pixels), np.float32)
    is_whole = read_waveforms(data, n_samples, *constants, NO_SHIFT, 4000.0, samples, gain)
    return samples, is_whole


samples = st.one_of(st.integers(0, 300), st.integers(0, 2**16 - 1))
shapes = st.tuples(st.integers(1, 6), st.integers(1, 24))
traces_of_shape = shapes.flatmap(
    lambda shape: st.lists(
        st.lists(samples, min_size=shape[1], max_size=shape[1]), min_size=shape[0], max_size=shape[0]
    )
)


@settings(deadline=None)  # the first call compiles
@given(traces_of_shape)
def test_what_was_written_is_read(rows):
    traces = np.array(rows, np.int64)
    decoded, is_whole = decode(encode(traces), *traces.shape)
    assert is_whole
    assert np.array_equal(decoded, traces)


@settings(deadline=None)
@given(traces_of_shape, st.data())
def test_data_that_end_early_are_noticed(rows, data):
    traces = np.array(rows, np.int64)
    encoded = encode(traces)
    cut = data.draw(st.integers(0, len(encoded) - 1))
    assert not decode(encoded[:cut], *traces.shape)[1]


@settings(deadline=None)
@given(traces_of_shape, st.data())
def test_gains_that_are_not_chosen_are_passed_over_and_must_be_there(rows, data):
    """Whichever pixels switch: of the others, rows of gain 1 are not decoded."""
    high = np.array(rows, np.int64)
    low = np.array(data.draw(st.lists(samples, min_size=high.size, max_size=high.size))).reshape(high.shape)
    encoded = np.concatenate([encode(high), encode(low)])
    n_pixels, n_samples = high.shape
    threshold = float(data.draw(st.sampled_from([0, 100, 4000, 65535])))
    pedestal = np.arange(2 * n_pixels, dtype=np.float32).reshape(2, n_pixels)
    factor = np.float32([[0.5] * n_pixels, [3.0] * n_pixels])
    found, gain = np.zeros((n_pixels, n_samples), np.float32), np.empty(n_pixels, np.int8)
    arguments = n_samples, pedestal, factor, NO_SHIFT, threshold, found, gain
    assert read_waveforms(encoded, *arguments)
    is_low = high.max(axis=1) > threshold
    assert np.array_equal(gain, is_low)
    both = (np.stack([high, low]).astype(np.uint16) - pedestal[..., np.newaxis]) * factor[..., np.newaxis]
    assert found.tobytes() == both[is_low.astype(int), np.arange(n_pixels)].tobytes()
    cut = data.draw(st.integers(len(encode(high)), len(encoded) - 1))
    assert not read_waveforms(encoded[:cut], *arguments)


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=60), shapes)
def test_any_bytes_give_what_eventio_gives_or_are_refused(data, shape):
    decoded, is_whole = decode(np.frombuffer(data, np.uint8), *shape)
    if is_whole:
        expected, _ = unsigned_varint_arrays_differential(data, *shape)
        assert np.array_equal(decoded, expected.astype(np.uint16))
    elif not any(byte >= 0xF8 for byte in data):  # eventio passes over these, no writer makes them
        with pytest.raises(IndexError):
            unsigned_varint_arrays_differential(data, *shape)


@pytest.mark.parametrize("n_gains", [1, 2])
@pytest.mark.parametrize("shift", [0.0, 0.25])
def test_calibration_has_the_bits_of_numpy(n_gains, shift):
    random = np.random.default_rng(1)
    adc = random.integers(0, 4100, (n_gains, 300, 30), dtype=np.uint16)
    adc[:, :100] //= 4
    adc[0, 0, 5], adc[0, 1, :] = 4001, 4000
    pedestal = random.normal(300, 20, (n_gains, 300)).astype(np.float32)
    factor = random.normal(0.02, 0.005, (n_gains, 300)).astype(np.float32)
    waveforms, gain = np.empty((300, 30), np.float32), np.empty(300, np.int8)
    data = encode(adc.astype(int).reshape(-1, 30))
    assert read_waveforms(data, 30, pedestal, factor, np.float32(shift), 4000.0, waveforms, gain)
    everything = (adc - pedestal[..., np.newaxis]) * factor[..., np.newaxis] + shift
    expected_gain = (adc[0] > 4000).any(axis=1) & (n_gains == 2)
    assert np.array_equal(gain, expected_gain)
    assert everything.dtype == np.float32
    assert waveforms.tobytes() == everything[expected_gain.astype(int), np.arange(300)].tobytes()


# -- peaks and sums ----------------------------------------------------------------------------------------

#: Few values, so that sums are often equal; and such that they depend on the order in which they are added.
values = st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.1, 0.2, 0.3, -0.1, 3e7, -3e7, 1e-30])


@st.composite
def cameras(draw):
    """Waveforms, which pixels are neighbours, and which are broken."""
    n_pixels, n_samples = draw(st.integers(1, 9)), draw(st.integers(2, 40))
    rows = WaveformRows(n_pixels, n_samples)
    found = draw(st.lists(values, min_size=n_pixels * n_samples, max_size=n_pixels * n_samples))
    rows.samples[:n_pixels, :n_samples] = np.float32(found).reshape(n_pixels, n_samples)
    are = draw(st.lists(st.booleans(), min_size=n_pixels**2, max_size=n_pixels**2))
    broken = draw(st.lists(st.booleans(), min_size=n_pixels, max_size=n_pixels))
    return rows, csr_matrix(np.array(are).reshape(n_pixels, n_pixels)), np.array(broken)


@settings(deadline=None, max_examples=300)
@given(cameras(), st.booleans())
def test_peaks_are_where_ctapipe_finds_them(camera, with_own):
    rows, neighbors, broken = camera
    n_pixels = len(broken)
    own = [np.arange(n_pixels)[:, np.newaxis]] if with_own else []
    peaks = np.empty(n_pixels, np.int32)
    highest_sums(rows.samples, rows_of_neighbors(neighbors, broken, own), peaks)
    waveforms = np.ascontiguousarray(rows.samples[np.newaxis, :n_pixels, : rows.n_samples])
    expected = neighbor_average_maximum(
        waveforms, neighbors.indices, neighbors.indptr, int(with_own), broken[np.newaxis]
    )
    assert np.array_equal(peaks, expected[0])


@settings(deadline=None, max_examples=300)
@given(cameras(), st.integers(-3, 45), st.integers(0, 50), st.integers(-50, 50), st.sampled_from([1.0, 0.3, 2.41]))
def test_windows_have_the_bits_of_ctapipe(camera, peak, width, shift, rate):
    rows, _, broken = camera
    n_pixels = len(broken)
    peaks = np.full(n_pixels, peak, np.int32)
    gain = broken.astype(np.int8)
    correction, delay = np.array([1.1, 0.7]), np.float32([[0.1] * n_pixels, [-0.3] * n_pixels])
    charge, peak_time = np.empty(n_pixels, np.float32), np.empty(n_pixels, np.float32)
    sum_around_peaks(
        rows.samples, rows.n_samples, peaks, width, shift, rate, correction, delay, gain, charge, peak_time
    )
    waveforms = np.ascontiguousarray(rows.samples[np.newaxis, :n_pixels, : rows.n_samples])
    total, time = extract_around_peak(waveforms, peaks[np.newaxis].astype(np.int64), width, shift, rate)
    assert charge.tobytes() == (total[0] * correction[gain]).astype(np.float32).tobytes()
    assert peak_time.tobytes() == (time[0] - delay[gain, np.arange(n_pixels)]).tobytes()
