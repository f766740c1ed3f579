"""Compiled loops against eventio's parser and plain NumPy."""

import numpy as np
import pytest
from eventio.var_int import unsigned_varint_arrays_differential
from hypothesis import given, settings
from hypothesis import strategies as st

from image_extractor.inputs.simtel.waveforms import calibrate, decode_differences


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


samples = st.one_of(st.integers(0, 300), st.integers(0, 2**16 - 1))
shapes = st.tuples(st.integers(1, 6), st.integers(1, 8))
traces_of_shape = shapes.flatmap(
    lambda shape: st.lists(
        st.lists(samples, min_size=shape[1], max_size=shape[1]), min_size=shape[0], max_size=shape[0]
    )
)


@settings(deadline=None)  # the first call compiles
@given(traces_of_shape)
def test_what_was_written_is_read(rows):
    traces = np.array(rows, np.int64)
    decoded, whole = decode_differences(encode(traces), *traces.shape)
    assert whole
    assert decoded.dtype == np.uint16
    assert np.array_equal(decoded, traces)


@settings(deadline=None)
@given(traces_of_shape, st.data())
def test_data_that_end_early_are_noticed(rows, data):
    traces = np.array(rows, np.int64)
    encoded = encode(traces)
    cut = data.draw(st.integers(0, len(encoded) - 1))
    assert not decode_differences(encoded[:cut], *traces.shape)[1]


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=60), shapes)
def test_any_bytes_give_what_eventio_gives_or_are_refused(data, shape):
    decoded, whole = decode_differences(np.frombuffer(data, np.uint8), *shape)
    if whole:
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
    waveforms, gain = calibrate(adc, pedestal, factor, np.float32(shift), 4000.0)
    everything = (adc - pedestal[..., np.newaxis]) * factor[..., np.newaxis] + shift
    expected_gain = (adc[0] > 4000).any(axis=1) & (n_gains == 2)
    assert np.array_equal(gain, expected_gain)
    assert waveforms.dtype == everything.dtype == np.float32
    assert waveforms.tobytes() == everything[np.newaxis, expected_gain.astype(int), np.arange(300)].tobytes()
