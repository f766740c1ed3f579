"""Demo files whose cameras count otherwise: other gains and ranges, pixels left out, sums in the place of traces.

The layouts are those of ADCSums (2012) and ADCSamples (2013) in version 3, as eventio's parsers read them.
"""

import struct
from dataclasses import replace

import numpy as np
import pytest
from eventio.var_int import unsigned_varint_arrays_differential
from helpers.simtel_objects import edited

from image_extractor.demo import production, write_demo_file
from image_extractor.demo.cameras import build_camera
from image_extractor.demo.eventio_writer import differences, signed_varint

ARRAY_EVENT, SUMS, SAMPLES = 2010, 2012, 2013
#: Telescope events are 2200 + the telescope, as long as it is below 100.
TELESCOPE_EVENTS = range(2201, 2300)
#: Bits in a list of pixels: it has no low gain; its high gain has 8 bits. What is left holds the pixel.
WITHOUT_LOW_GAIN, REDUCED_WIDTH, MAX_LISTED = 0x2000, 0x4000, 0x2000


def write_with_cameras(path, change, **settings):
    """Write a demo file in which camera.field = value for all in change(camera), a dict; returns its path."""

    def changed(tel_type):
        camera = build_camera(tel_type)
        return replace(camera, **change(camera))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(production, "build_camera", changed)
        write_demo_file(path, **settings)
    return path


# -- what a camera counts --------------------------------------------------------------------------------


def as_it_is(camera):
    """Nothing is changed."""
    return {}


def other_number_of_gains(camera):
    """Cameras of two gains have the high one alone, in 16 bits; those of one have two, and change to the low one."""
    high, noise = camera.counts_per_pe[0], camera.noise[0]
    if camera.n_gains == 2:
        return {"counts_per_pe": (high,), "noise": (noise,), "saturation": 65535}
    return {"counts_per_pe": (4 * high, high / 4), "noise": (noise, noise / 2), "saturation": 4095}


def sixteen_bits(camera):
    """So much gain that traces reach the end of 16 bits and stay there, in both gains."""
    return {"counts_per_pe": tuple(30.0 * counts for counts in camera.counts_per_pe), "saturation": 65535}


def more_than_sixteen_bits(camera):
    """Counts that readers cut to 16 bits."""
    return sixteen_bits(camera) | {"saturation": 1 << 20}


def one_sample(camera):
    """A sum in the place of each trace, in one gain beyond 16 bits."""
    return {"n_samples": 1} | ({"saturation": 1 << 20} if camera.n_gains == 1 else {})


# -- how it is written -----------------------------------------------------------------------------------


def recoded(source, target, code):
    """Write a copy of a file with ADC data as code(adc) gives them.

    code : a function of int array (n_gains, n_pixels, n_samples) that returns flags of the id, and the payload
    """

    def change(one):
        if one.type == ARRAY_EVENT or one.type in TELESCOPE_EVENTS:
            inside = one.inside()
            for part in inside:
                change(part)
            one.put_inside(inside)
        elif one.type in (SUMS, SAMPLES):
            flags, one.payload = code(counts_in(one))
            one.id |= flags

    return edited(source, target, change)


def counts_in(one):
    """Return the counts in an object of traces or sums as the demo writes them."""
    n_pixels, n_gains = struct.unpack_from("<ih", one.payload)
    start, n_samples = (8, *struct.unpack_from("<h", one.payload, 6)) if one.type == SAMPLES else (6, 1)
    rows, length = (n_gains * n_pixels, n_samples) if one.type == SAMPLES else (n_gains, n_pixels)
    counts, _ = unsigned_varint_arrays_differential(bytes(one.payload[start:]), rows, length)
    return counts.reshape(n_gains, n_pixels, n_samples).astype(int)


def bright(adc):
    """The tenth of the pixels with the highest counts, all that are saturated, the first and the last: bool (n_pixels,)."""
    highest = adc[0].max(axis=-1)
    chosen = highest >= np.quantile(highest, 0.9)
    chosen[[0, -1]] = True
    return chosen


def zero_suppressed(adc):
    """Ranges of bright pixels and their traces; of sums, bits for each 16 pixels."""
    n_gains, n_pixels, n_samples = adc.shape
    chosen = bright(adc)
    if n_samples == 1:
        return 1, struct.pack("<ih", n_pixels, n_gains) + _blocks(adc[..., 0], chosen)
    edges = np.flatnonzero(np.diff(chosen, prepend=False, append=False)).reshape(-1, 2)
    ranges = [
        signed_varint(-first - 1) if stop == first + 1 else signed_varint(first) + signed_varint(stop - 1)
        for first, stop in edges.tolist()
    ]
    payload = struct.pack("<ihh", n_pixels, n_gains, n_samples) + signed_varint(len(ranges)) + b"".join(ranges)
    return 1, payload + differences(adc[:, chosen])


def _blocks(sums, chosen):
    payload = b""
    for first in range(0, len(chosen), 16):
        block = chosen[first : first + 16]
        bits = int(block @ (1 << np.arange(block.size)))
        payload += struct.pack("<H", bits) + differences(sums[::-1, first : first + 16][:, block])
    return payload


def listed(adc):
    """Sums of bright pixels behind a list of these; dim ones without low gain, and in 8 bits where these do."""
    n_gains, n_pixels, _ = adc.shape
    sums, pixels = adc[..., 0], np.flatnonzero(bright(adc))
    pixels = pixels[pixels < MAX_LISTED]
    high = sums[0, pixels]
    narrow, single = high < 256, high < np.median(high)
    single |= narrow
    marks = pixels | REDUCED_WIDTH * narrow | WITHOUT_LOW_GAIN * single
    payload = struct.pack("<ihh", n_pixels, n_gains, len(pixels)) + marks.astype("<u2").tobytes()
    if n_gains == 2:
        payload += differences(sums[1, pixels[~single]])
    return 2, payload + differences(high[~narrow]) + high[narrow].astype("u1").tobytes()
