"""The bytes of sim_telarray (EventIO) files: headers, variable-length integers, one function per object type.

Every function returns the bytes of one object. What is in them is decided elsewhere (`demo.py`); here is only
where each number goes. All numbers are little-endian and nothing is aligned inside an object. The layouts are
those of hessioxxx (K. Bernlöhr), in the versions that eventio 2.1 and newer read.
"""

import struct

import numpy as np

SYNC_MARKER = 0xD41F8A37
ONLY_SUBOBJECTS = 1 << 30
MAX_PAYLOAD = 1 << 30  # the length has 30 bits; longer objects would need an extended header

# Largest values (exclusive) that a variable-length integer holds in 1, 2, 3, 4 bytes, and the prefix of its first byte.
VARINT_LIMITS = (1 << 7, 1 << 14, 1 << 21, 1 << 28)
VARINT_PREFIXES = (0x00, 0x80, 0xC0, 0xE0)

MONITORING_PEDESTAL = 0x04  # part of a CameraMonitoring block: pedestals and noise
TRACKING_RAW, TRACKING_CORRECTED = 0x100, 0x200
TRIGGER_ANALOG_SUM = 2

# (name, type) rows; a type ending in [] takes as many values as it is given.
RUN_HEADER = [
    *[(name, "i4") for name in ("run", "seconds", "run_type", "tracking_mode", "reverse_flag")],
    ("direction", "f4[]"),  # azimuth, altitude, rad
    ("offset_fov", "f4[]"),
    ("conv_depth", "f4"),
    ("conv_ref_pos", "f4[]"),
    ("n_tel", "i4"),
    ("tel_id", "i2[]"),
    ("position", "f4[]"),  # x, y, z of each telescope, m
    ("min_tel_trig", "i4"),
    ("duration", "i4"),
    ("target", "str"),
    ("observer", "str"),
]
MC_RUN_HEADER = [
    *[(f"{program}_prog_{what}", "i4") for program in ("shower", "detector") for what in ("id", "vers", "start")],
    ("obsheight", "f4"),
    *[(name, "i4") for name in ("n_showers", "n_use", "core_pos_mode")],
    *[(name, "f4[]") for name in ("core_range", "alt_range", "az_range")],
    ("diffuse", "i4"),
    *[(name, "f4[]") for name in ("viewcone", "energy_range")],
    *[(f, "f4") for f in ("spectral_index", "b_total", "b_inclination", "b_declination", "injection_height")],
    *[(name, "i4") for name in ("atmosphere", "iact_options", "low_e_model", "high_e_model")],
    *[(name, "f4") for name in ("bunchsize", "wavelength_min", "wavelength_max")],
    *[(name, "i4") for name in ("low_e_detail", "high_e_detail")],
]
MC_SHOWER = [
    ("primary_id", "i4"),
    *[(name, "f4") for name in ("energy", "az", "alt", "depth_start", "h_first_int", "xmax", "hmax", "emax", "cmax")],
    ("n_profiles", "i2"),
]


def eventio_object(eventio_type, payload, *, object_id=0, version=0, top_level=True, only_subobjects=False):
    """One EventIO object: its header (16 bytes at top level, 12 inside another object) and its payload.

    The payload is padded with zeros to a multiple of four, as sim_telarray does; the padding counts in the length.
    """
    payload = payload + bytes(-len(payload) % 4)
    if len(payload) >= MAX_PAYLOAD:
        raise ValueError(
            f"object of type {eventio_type} has {len(payload)} bytes, its header can tell {MAX_PAYLOAD - 1}"
        )
    length_word = len(payload) | (ONLY_SUBOBJECTS if only_subobjects else 0)
    header = struct.pack("<IiI", eventio_type | version << 20, object_id, length_word)
    return (struct.pack("<I", SYNC_MARKER) if top_level else b"") + header + payload


def _sub(eventio_type, payload, object_id, version, **kwargs):
    return eventio_object(eventio_type, payload, object_id=object_id, version=version, top_level=False, **kwargs)


def varint(value):
    """An unsigned integer in as many bytes as it needs: leading 1-bits of byte 0 count the bytes that follow."""
    for n_extra in range(8):
        n_bits = 7 * (n_extra + 1)
        if value < 1 << n_bits:
            prefix = (0xFF00 >> n_extra) & 0xFF
            return (value | prefix << 8 * n_extra).to_bytes(n_extra + 1, "big")
    return b"\xff" + value.to_bytes(8, "big")


def signed_varint(value):
    """A signed integer as an unsigned one: 0, -1, 1, -2 ... become 0, 1, 2, 3 ..."""
    return varint(2 * value if value >= 0 else -2 * value - 1)


def varint_array(values):
    """Many unsigned integers below 2^28 at once.

    values : unsigned int array, any shape, taken in C order
    returns : bytes, the same as joining `varint` of each
    """
    values = np.ascontiguousarray(values, dtype=np.uint32).ravel()
    if values.size and values.max() < VARINT_LIMITS[0]:
        return values.astype(np.uint8).tobytes()
    n_extra = np.zeros(values.size, dtype=np.intp)
    for limit in VARINT_LIMITS[:3]:
        n_extra += values >= limit
    last = np.cumsum(n_extra + 1) - 1  # position of each number's lowest byte
    encoded = np.empty(last[-1] + 1 if last.size else 0, dtype=np.uint8)
    encoded[last] = values  # numpy keeps the lowest 8 bits
    for n in range(1, 4):
        longer = np.flatnonzero(n_extra >= n)
        encoded[last[longer] - n] = values[longer] >> np.uint32(8 * n)
    long = np.flatnonzero(n_extra)
    encoded[last[long] - n_extra[long]] |= np.array(VARINT_PREFIXES, dtype=np.uint8)[n_extra[long]]
    return encoded.tobytes()


def differences(rows):
    """Rows of integers, each number as the difference to the one before it; every row starts from 0.

    rows : int array (..., n), for traces (n_gains, n_pixels, n_samples)
    returns : bytes
    """
    rows = np.asarray(rows, dtype=np.int32)
    steps = np.diff(rows, axis=-1, prepend=np.int32(0))
    return varint_array(((steps << 1) ^ (steps >> 31)).view(np.uint32))


def _string(text):
    encoded = text.encode()
    return struct.pack("<h", len(encoded)) + encoded


def _varstring(text):
    encoded = text.encode()
    return varint(len(encoded)) + encoded


def _array(values, dtype):
    return np.ascontiguousarray(values, dtype="<" + dtype).tobytes()


def _fields(layout, values):
    """The values, by name, in the order and with the types of a layout."""
    parts = []
    for name, kind in layout:
        value = values[name]
        parts.append(_string(value) if kind == "str" else _array(value, kind.removesuffix("[]")))
    return b"".join(parts)


def packed_tel_id(tel_id):
    """How monitoring and tracking objects keep the telescope number in their id."""
    return (tel_id & 0xFF) | (tel_id & 0x3F00) << 16


def _tel_type(base, tel_id):
    return base + tel_id % 100 + 1000 * (tel_id // 100)


def history(seconds, command_line, config_lines):
    """History (70): the command line and the lines of the configuration."""
    lines = [_sub(71, struct.pack("<i", seconds) + _string(command_line), -1, 1)]
    lines += [_sub(72, struct.pack("<i", seconds) + _string(line + "\n"), -1, 1) for line in config_lines]
    return eventio_object(70, b"".join(lines), version=1, only_subobjects=True)


def metadata(items, tel_id=-1):
    """HistoryMeta (75) of one telescope, or of the whole array (-1): a dict of str to str."""
    payload = varint(len(items)) + b"".join(_varstring(key) + _varstring(value) for key, value in items.items())
    return eventio_object(75, payload, object_id=tel_id)


def run_header(values):
    """RunHeader (2000); `values` has a value for every name of RUN_HEADER."""
    return eventio_object(2000, _fields(RUN_HEADER, values), object_id=values["run"], version=2)


def mc_run_header(values):
    """MCRunHeader (2001); `values` has a value for every name of MC_RUN_HEADER."""
    return eventio_object(2001, _fields(MC_RUN_HEADER, values), object_id=-1, version=4)


def atmospheric_profile(name, observation_level, table, layers, *, profile_id=1):
    """AtmosphericProfile (1216).

    observation_level : cm
    table : float array (n, 4), altitude (km), density (g/cm3), vertical thickness (g/cm2), refractive index - 1
    layers : float array (5, 5), CORSIKA's lower edge (cm), a, b (g/cm2), c (cm), 1/c
    """
    top = 1.0e7 * max(1.0, table[-1][0] / 100)  # cm
    payload = _varstring(name) + struct.pack("<d", observation_level)
    payload += varint(len(table)) + _array(table, "f8") + varint(len(layers)) + struct.pack("<d", top)
    return eventio_object(1216, payload + _array(layers, "f8"), object_id=profile_id, version=1)


def telescope_description(tel_id, camera):
    """The seven objects (2002 to 2008) that describe one telescope, in the order in which sim_telarray writes them."""
    described = [
        (2002, 5, _camera_settings(camera)),
        (2003, 1, _camera_organization(camera)),
        (2004, 2, _pixel_settings(camera)),
        (2005, 0, struct.pack("<ii", 0, 0)),  # no pixel is switched off
        (2006, 0, bytes(60)),  # no thresholds: 7 + 8 zeros
        (2008, 0, struct.pack("<2h12f", 0, 0, *(0.0, 0.0, 1.0, 1.0), *(0.0,) * 8)),
        (2007, 0, struct.pack("<ii", 0, 0)),
    ]
    return b"".join(
        eventio_object(eventio_type, payload, object_id=tel_id, version=version)
        for eventio_type, version, payload in described
    )


def _camera_settings(camera):
    payload = struct.pack("<i2f", camera.n_pixels, camera.focal_length, camera.effective_focal_length)
    payload += _array(camera.pixel_x, "f4") + _array(camera.pixel_y, "f4")
    payload += signed_varint(0) + signed_varint(1)  # a flat camera with parallel pixels
    payload += signed_varint(1) + signed_varint(camera.pixel_shape)
    payload += struct.pack("<2f", camera.pixel_area, camera.pixel_size)
    return payload + struct.pack("<i2f", camera.n_mirror_tiles, camera.mirror_area, camera.rotation)


def _camera_organization(camera):
    n, n_gains = camera.n_pixels, camera.n_gains
    payload = struct.pack("<4i", n, camera.n_modules, n_gains, 0) + _array(camera.module, "i2")
    card = np.repeat(camera.pixel_in_module, n_gains)
    chip_and_channel = np.zeros(2 * n * n_gains)
    no_sectors = np.zeros(n)
    return payload + _array(card, "i2") + _array(chip_and_channel, "i2") + _array(no_sectors, "i2")


def _pixel_settings(camera):
    n, n_modules = camera.n_pixels, camera.n_modules
    payload = struct.pack("<4i", 0, 0, 3, n) + bytes(4 * n)
    payload += struct.pack("<i", n_modules) + bytes(4 * n_modules)
    payload += struct.pack("<i", n_modules) + bytes(4 * n_modules)
    payload += struct.pack("<fi", camera.sample_time, camera.n_samples)
    pulse = np.tile(camera.pulse, (camera.n_gains, 1))
    payload += signed_varint(pulse.shape[0]) + signed_varint(pulse.shape[1]) + struct.pack("<f", camera.pulse_step)
    return payload + _array(pulse, "f2")


def camera_monitoring(tel_id, seconds, pedestal, noise, n_samples, n_modules):
    """CameraMonitoring (2022): pedestals summed over the trace, and their noise.

    pedestal, noise : float arrays (n_gains, n_pixels), ADC counts
    """
    n_gains, n_pixels = pedestal.shape
    payload = struct.pack("<hhiii", MONITORING_PEDESTAL, MONITORING_PEDESTAL, 1, seconds, 0)
    payload += b"".join(signed_varint(n) for n in (0, n_pixels, n_modules, n_gains))
    payload += struct.pack("<iih", seconds, 0, n_samples) + _array(pedestal, "f4") + _array(noise, "f4")
    return eventio_object(2022, payload, object_id=packed_tel_id(tel_id) | MONITORING_PEDESTAL << 8, version=1)


def laser_calibration(tel_id, pe_per_count, time_shift):
    """LaserCalibration (2023).

    pe_per_count, time_shift : float arrays (n_gains, n_pixels), p.e. per summed ADC count, ns
    """
    n_gains, n_pixels = pe_per_count.shape
    payload = struct.pack("<Hhi", n_pixels, n_gains, 2) + _array(pe_per_count, "f4")
    payload += bytes(8 * n_gains) + _array(time_shift, "f4")
    return eventio_object(2023, payload, object_id=tel_id, version=2)


def mc_shower(shower_id, values):
    """MCShower (2020); `values` has a value for every name of MC_SHOWER but n_profiles."""
    return eventio_object(2020, _fields(MC_SHOWER, {**values, "n_profiles": 0}), object_id=shower_id, version=1)


def mc_event(event_id, shower_id, core_x, core_y):
    """MCEvent (2021): where one use of a shower hits the ground, m."""
    return eventio_object(2021, struct.pack("<iff", shower_id, core_x, core_y), object_id=event_id, version=1)


def photoelectrons(tel_id, pixel, time, n_pixels):
    """PhotoElectrons (1208) of one telescope, to be put into `telescope_data`.

    pixel : int array (n_pe,), the pixel that each p.e. is in; time : float array (n_pe,), ns
    """
    order = np.argsort(pixel, kind="stable")
    pixel, time = np.asarray(pixel)[order], np.asarray(time)[order]
    hit, first, count = np.unique(pixel, return_index=True, return_counts=True)
    # In 16-bit words a pixel's record is: its number, its count (2 words), and 2 words for each time.
    start = 3 * np.arange(hit.size) + 2 * first
    words = np.empty(3 * hit.size + 2 * pixel.size, dtype="<u2")
    words[start] = hit
    words[start + 1], words[start + 2] = count & 0xFFFF, count >> 16
    at = np.repeat(start + 3, count) + 2 * (np.arange(pixel.size) - np.repeat(first, count))
    words[at], words[at + 1] = np.ascontiguousarray(time, dtype="<f4").view("<u2").reshape(-1, 2).T
    payload = struct.pack("<iihi", pixel.size, n_pixels, 0, hit.size) + words.tobytes()
    return _sub(1208, payload, tel_id - 1, 2)


def telescope_data(event_id, images):
    """TelescopeData (1204): the `photoelectrons` of all telescopes."""
    return eventio_object(1204, b"".join(images), object_id=event_id, only_subobjects=True)


def photoelectron_sums(event_id, shower_id, n_pe):
    """MCPhotoelectronSum (2026); n_pe : int array (n_telescopes,), in the order of the run header."""
    payload = struct.pack("<ii", shower_id, len(n_pe)) + _array(n_pe, "i4") + bytes(4 * len(n_pe))
    photons = _array(np.tile(n_pe, 5), "f4")
    return eventio_object(2026, payload + photons, object_id=event_id, version=2)


def array_event(event_id, trigger, telescope_events, tracking):
    """ArrayEvent (2010): the trigger, the telescope events, then the tracking positions."""
    payload = trigger + b"".join(telescope_events) + b"".join(tracking)
    return eventio_object(2010, payload, object_id=event_id, only_subobjects=True)


def trigger_information(event_id, clock, tel_ids, times, pointing):
    """TriggerInformation (2009) of telescopes that triggered and have data.

    clock : (seconds, nanoseconds); times : float array (n,), ns, relative to the clock;
    pointing : (azimuth, altitude) of the wavefront's plane, rad
    """
    payload = struct.pack("<4i2i", *clock, *clock, 0, 0)
    payload += struct.pack("<h", len(tel_ids)) + _array(tel_ids, "i2") + _array(times, "f4")
    payload += struct.pack("<h", len(tel_ids)) + _array(tel_ids, "i2")
    payload += varint(TRIGGER_ANALOG_SUM) * len(tel_ids)
    return _sub(2009, payload + struct.pack("<3f", *pointing, 29.9792), event_id, 3)


def telescope_event(event_id, tel_id, clock, local_count, trigger_time, adc, trigger_pixels):
    """TelescopeEvent (2200 + telescope).

    adc : int array (n_gains, n_pixels, n_samples), counts; one sample is written as sums (2012), more as traces (2013)
    trigger_pixels : int array, the pixels that triggered
    """
    n_gains, n_pixels, n_samples = adc.shape
    head = struct.pack("<2i4ih2f", local_count, event_id, *clock, *clock, 1, 0.0, trigger_time)
    size = struct.pack("<ih", n_pixels, n_gains)
    if n_samples == 1:  # read as traces, a single sample would lose its axis
        data = _sub(2012, size + differences(adc[..., 0]), tel_id << 12, 3)
    else:
        data = _sub(2013, size + struct.pack("<h", n_samples) + differences(adc), tel_id << 12, 3)
    pixels = varint_array(2 * np.asarray(trigger_pixels))  # signed, never negative
    pixel_list = _sub(2027, signed_varint(len(trigger_pixels)) + pixels, tel_id, 1)
    payload = _sub(2011, head, tel_id, 3) + data + pixel_list
    return _sub(_tel_type(2200, tel_id), payload, event_id, 1, only_subobjects=True)


def tracking_position(tel_id, az, alt):
    """TrackingPosition (2100 + telescope): where a telescope looks, rad, raw and corrected alike."""
    object_id = packed_tel_id(tel_id) | TRACKING_RAW | TRACKING_CORRECTED
    return _sub(_tel_type(2100, tel_id), struct.pack("<4f", az, alt, az, alt), object_id, 0)


def histogram(histogram_id, title, counts, x_range, y_range):
    """One two-dimensional histogram for `histograms`; counts : float array (n_y, n_x), nothing outside the ranges."""
    n_y, n_x = counts.shape
    total = counts.sum()
    payload = b"F" + _string(title) + (b"" if len(title.encode()) % 2 else b"\0")
    payload += struct.pack("<ihhii", histogram_id, n_x, n_y, int(total), int(total))
    for low, high in (x_range, y_range):
        payload += struct.pack("<ii4f", 0, 0, low, high, 0.0, 0.0)
    payload += struct.pack("<10f", total, total, *(0.0,) * 8)
    return payload + (_array(counts, "f4") if total > 0 else b"")


def histograms(items):
    """Histograms (100), the last object of a file: without it a reader must take the file for truncated."""
    return eventio_object(100, struct.pack("<h", len(items)) + b"".join(items), version=2)
