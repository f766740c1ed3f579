"""A run of synthetic showers over an array of telescopes, object by object, as the bytes of a sim_telarray file."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from ..errors import ConfigError
from ..version import __version__
from . import eventio_writer, readout, showers
from .cameras import build_camera

POINTING = np.deg2rad([0.0, 70.0])  # azimuth, altitude
START_TIME = 1_577_836_800  # 2020-01-01 UTC: a file must not depend on when it was made
EVENT_SPACING = 10_000_000  # ns
TELESCOPES_TO_TRIGGER = 2  # or the only one
SHOWERS_PER_EVENT, MIN_SHOWERS = 200, 2000  # the search for events that trigger ends there
HISTOGRAM_BINS = (60, 40)  # log10(energy), core distance
SHOWER_HISTOGRAM = 6  # the number under which readers look for all simulated events
SITE = {"*LATITUDE": "28.7617", "*LONGITUDE": "-17.8911", "ALTITUDE": f"{showers.OBSERVATION_LEVEL:g}"}  # La Palma

# Circles of telescopes around the centre by type: radius of the first circle, what each further one adds, height (m).
CIRCLES = {"LST": (70, 60, 16), "SCT": (120, 80, 10), "MSTN": (140, 90, 10), "MSTF": (190, 90, 10)}
SMALL_TELESCOPE_CIRCLES = (100, 70, 5)
FIRST_CIRCLE = 6  # telescopes; two more in each further one
TURNS = 24  # by which a circle may be turned, so that no telescopes stand on each other


@dataclass
class Summary:
    """What a file holds: triggered events, showers, all uses of showers, images per camera name."""

    events: int = 0
    showers: int = 0
    simulated: int = 0
    images: Counter = field(default_factory=Counter)


@dataclass(frozen=True)
class Array:
    """The telescopes of a run in the order of their ids, which count from 1."""

    cameras: list
    position: np.ndarray  # (n_tel, 3), m
    light_area: np.ndarray  # (n_tel,), m2, of the mirror, times the efficiency of the sensors
    focal_length: np.ndarray  # (n_tel,), m
    psf: np.ndarray  # (n_tel,), deg
    axes: np.ndarray  # (3, 3), see showers.sky_axes


def make_array(telescopes):
    """The `Array` of a dict of numbers by telescope type."""
    types = [tel_type for tel_type, number in telescopes.items() for _ in range(number)]
    cameras = [build_camera(tel_type) for tel_type in types]
    position = _positions(telescopes)
    return Array(
        cameras=cameras,
        position=position.astype(np.float32).astype(float),  # as the file has it
        light_area=np.array([camera.mirror_area * camera.efficiency for camera in cameras]),
        focal_length=np.array([camera.effective_focal_length for camera in cameras]),
        psf=np.array([camera.psf for camera in cameras]),
        axes=showers.sky_axes(*POINTING),
    )


def _positions(telescopes):
    """Circles of telescopes, type by type, each turned to where it is furthest from those that are there already.

    returns : float array (n_tel, 3), m
    """
    places = np.zeros((0, 3))
    for tel_type, number in telescopes.items():
        radius, step, height = CIRCLES.get(tel_type, SMALL_TELESCOPE_CIRCLES)
        per_circle = FIRST_CIRCLE
        while number > 0:
            n = min(number, per_circle)
            circle = _freest_circle(places, radius, n)
            places = np.concatenate([places, np.column_stack([circle, np.full(n, height)])])
            number, radius, per_circle = number - n, radius + step, per_circle + 2
    return places


def _freest_circle(places, radius, n):
    """n positions (x, y) on a circle; places : float array (n_places, 3)."""
    turns = np.pi / 4 + 2 * np.pi / n * np.arange(TURNS) / TURNS
    phi = turns[:, np.newaxis] + 2 * np.pi / n * np.arange(n)
    circles = radius * np.stack([np.cos(phi), np.sin(phi)], axis=-1)
    if not len(places):
        return circles[0]
    distance = np.linalg.norm(circles[:, :, np.newaxis] - places[:, :2], axis=-1).min(axis=(1, 2))
    return circles[np.round(distance, 6).argmax()]


class Production:
    """The run of some `demo.Settings`: first make the events, then the header, which counts them, and the footer."""

    def __init__(self, settings):
        self.settings = settings
        self.array = make_array(settings.telescopes)
        self.summary = Summary()
        self.histogram = np.zeros(HISTOGRAM_BINS)
        self.local_count = np.zeros(len(self.array.cameras), dtype=int)
        rng = self._rng(0)
        self.calibrations = [readout.make_calibration(rng, camera) for camera in self.array.cameras]

    def _rng(self, shower_id):
        """Random numbers of one shower, whatever came before it; 0 is for the telescopes."""
        primary_id = showers.PRIMARIES[self.settings.primary]
        return np.random.default_rng([self.settings.seed, self.settings.run, primary_id, shower_id])

    def events(self):
        """Yield the bytes of one shower after the other until enough of them triggered. Raises ConfigError."""
        limit = max(MIN_SHOWERS, SHOWERS_PER_EVENT * self.settings.events)
        while self.summary.events < self.settings.events:
            if self.summary.showers >= limit:
                raise ConfigError(
                    f"only {self.summary.events} of {self.settings.events} events triggered in {limit} showers: "
                    "raise --energy, lower --scatter, or take more or larger telescopes"
                )
            self.summary.showers += 1
            yield self._shower(self.summary.showers)

    def _shower(self, shower_id):
        rng = self._rng(shower_id)
        az, alt = self._direction(rng)
        energy = self._energy(rng)
        shower = showers.make_shower(rng, self.settings.primary, energy, az, alt)
        objects = [eventio_writer.mc_shower(shower_id, shower.truth)]
        objects += [self._event(rng, shower, shower_id, use) for use in range(self.settings.reuse)]
        return b"".join(objects)

    def _energy(self, rng):
        """An energy (TeV) of the power law, by inverting its integral."""
        low, high = self.settings.energy
        power = self.settings.spectral_index + 1
        u = rng.random()
        if abs(power) < 1e-9:
            energy = low * (high / low) ** u
        else:
            energy = low * (1 + u * ((high / low) ** power - 1)) ** (1 / power)
        return float(np.clip(energy, low, high))

    def _source(self):
        """Azimuth and altitude (rad) of the point source: above the pointing."""
        az, alt = POINTING
        return az, alt + np.deg2rad(self.settings.offset)

    def _direction(self, rng):
        """Azimuth and altitude (rad): the point source, or evenly from the cone around the pointing."""
        if self.settings.view_cone == 0:
            return self._source()
        cos_cone = np.cos(np.deg2rad(self.settings.view_cone))
        cos = 1 - rng.random() * (1 - cos_cone)
        phi = rng.uniform(0, 2 * np.pi)
        sin = np.sqrt(1 - cos**2)
        x, y, z = np.array([cos, sin * np.cos(phi), sin * np.sin(phi)]) @ self.array.axes
        return float(np.arctan2(-y, x)), float(np.arcsin(z))

    def _event(self, rng, shower, shower_id, use):
        event_id = 100 * shower_id + use
        radius, phi = self.settings.scatter * np.sqrt(rng.random()), rng.uniform(0, 2 * np.pi)
        core = radius * np.array([np.cos(phi), np.sin(phi)])
        self._count(shower.truth["energy"], radius)
        images = self._images(rng, shower, core)
        triggered = [i for i, image in enumerate(images) if image.patch.size]
        objects = [eventio_writer.mc_event(event_id, shower_id, *core)]
        n_pe = [image.pixel.size for image in images]
        sums = eventio_writer.photoelectron_sums(event_id, shower_id, n_pe)
        if len(triggered) < min(TELESCOPES_TO_TRIGGER, len(images)):
            return b"".join([*objects, sums])
        tel_images = {i + 1: images[i] for i in triggered}
        objects.append(self._true_images(event_id, tel_images))
        if self.summary.events == 0:
            objects.append(self._monitoring())
        return b"".join([*objects, sums, self._array_event(rng, event_id, tel_images)])

    def _count(self, energy, radius):
        self.summary.simulated += 1
        (low, high), (_, far) = self._histogram_ranges()
        n_energy, n_radius = HISTOGRAM_BINS
        row = int((np.log10(energy) - low) / (high - low) * n_energy)
        self.histogram[min(row, n_energy - 1), min(int(radius / far * n_radius), n_radius - 1)] += 1

    def _histogram_ranges(self):
        low, high = np.log10(self.settings.energy)
        return (low - 0.01, high + 0.01), (0.0, max(self.settings.scatter, 1.0))

    def _images(self, rng, shower, core):
        """One `readout.Image` per telescope, with or without trigger."""
        light = [part(rng, shower, core, self.array) for part in (showers.sample_photoelectrons, showers.sample_muons)]
        telescope, x, y, time = (np.concatenate(values) for values in zip(*light, strict=True))
        order = np.argsort(telescope, kind="stable")
        bounds = np.searchsorted(telescope[order], np.arange(len(self.array.cameras) + 1))
        images = []
        for camera, first, last in zip(self.array.cameras, bounds[:-1], bounds[1:], strict=True):
            own = order[first:last]
            pixel = camera.pixel_of(x[own], y[own])
            seen = pixel >= 0
            pixel = pixel[seen]
            images.append(readout.Image(pixel, time[own][seen], readout.trigger_patch(camera, pixel)))
        return images

    def _true_images(self, event_id, images):
        parts = []
        for tel_id, image in images.items():
            camera = self.array.cameras[tel_id - 1]
            time = readout.since_trace_start(camera, image)
            parts.append(eventio_writer.photoelectrons(tel_id, image.pixel, time, camera.n_pixels))
        return eventio_writer.telescope_data(event_id, parts)

    def _array_event(self, rng, event_id, images):
        self.summary.events += 1
        nanoseconds = EVENT_SPACING * self.summary.simulated + int(rng.integers(EVENT_SPACING // 2))
        clock = (START_TIME + nanoseconds // 10**9, nanoseconds % 10**9)
        tel_ids = list(images)
        times = self._trigger_times(images)
        telescope_events, tracking = [], []
        for tel_id, trigger_time in zip(tel_ids, times, strict=True):
            telescope_events.append(self._telescope_event(rng, event_id, tel_id, clock, trigger_time, images[tel_id]))
            tracking.append(eventio_writer.tracking_position(tel_id, *POINTING))
        trigger = eventio_writer.trigger_information(event_id, clock, tel_ids, times, POINTING)
        return eventio_writer.array_event(event_id, trigger, telescope_events, tracking)

    def _trigger_times(self, images):
        """When each telescope triggered, without the way of a plane wave from the pointing, ns since the first."""
        index = np.array(list(images)) - 1
        seen = [readout.trigger_time(image) for image in images.values()]
        times = seen + self.array.position[index] @ self.array.axes[0] / showers.SPEED_OF_LIGHT
        return times - times.min()

    def _telescope_event(self, rng, event_id, tel_id, clock, trigger_time, image):
        camera, calibration = self.array.cameras[tel_id - 1], self.calibrations[tel_id - 1]
        self.summary.images[camera.name] += 1
        self.local_count[tel_id - 1] += 1
        time = readout.since_trace_start(camera, image)
        adc = readout.digitise(rng, camera, calibration, image.pixel, time)
        count = int(self.local_count[tel_id - 1])
        return eventio_writer.telescope_event(event_id, tel_id, clock, count, trigger_time, adc, image.patch)

    def _monitoring(self):
        """Pedestals and calibration constants of every telescope; they stand before the first triggered event."""
        objects = []
        for tel_id, (camera, constants) in enumerate(zip(self.array.cameras, self.calibrations, strict=True), start=1):
            noise = np.broadcast_to(np.array(camera.noise)[:, np.newaxis], constants.pedestal.shape)
            pedestal = constants.pedestal * camera.n_samples
            objects.append(
                eventio_writer.camera_monitoring(
                    tel_id, START_TIME, pedestal, noise, camera.n_samples, camera.n_modules
                )
            )
            shift = np.tile(constants.time_shift, (camera.n_gains, 1))
            objects.append(eventio_writer.laser_calibration(tel_id, 1 / constants.counts_per_pe, shift))
        return b"".join(objects)

    def header(self):
        """The objects before the first shower: history, names, the run, the atmosphere, and every telescope."""
        cameras = self.array.cameras
        return b"".join(
            [
                self._history(),
                eventio_writer.metadata({"ARRAY_CONFIG_NAME": "image_extractor demo", **SITE}),
                *[eventio_writer.metadata(_names(camera), tel_id) for tel_id, camera in enumerate(cameras, start=1)],
                eventio_writer.run_header(self._run()),
                eventio_writer.mc_run_header(self._simulation()),
                eventio_writer.atmospheric_profile(
                    "U.S. standard",
                    showers.OBSERVATION_LEVEL * 100,
                    showers.atmosphere_table(),
                    showers.ATMOSPHERE_LAYERS,
                ),
                *[
                    eventio_writer.telescope_description(tel_id, camera)
                    for tel_id, camera in enumerate(cameras, start=1)
                ],
            ]
        )

    def _history(self):
        lines = [
            f"image_extractor {__version__} synthetic showers",
            *[f"{name} = {value}" for name, value in vars(self.settings).items()],
            "STORE_PHOTOELECTRONS 1000000",  # readers look for it: the true images are there
        ]
        return eventio_writer.history(START_TIME, "image_extractor.demo", lines)

    def _run(self):
        return {
            "run": self.settings.run,
            "seconds": START_TIME,
            "run_type": -1,  # Monte Carlo
            "tracking_mode": 0,  # azimuth and altitude
            "reverse_flag": 0,
            "direction": POINTING,
            "offset_fov": (0.0, 0.0),
            "conv_depth": 0.0,
            "conv_ref_pos": (0.0, 0.0),
            "n_tel": len(self.array.cameras),
            "tel_id": np.arange(len(self.array.cameras)) + 1,
            "position": self.array.position,
            "min_tel_trig": min(TELESCOPES_TO_TRIGGER, len(self.array.cameras)),
            "duration": 1,
            "target": "synthetic showers",
            "observer": "image_extractor",
        }

    def _simulation(self):
        settings = self.settings
        az, alt = self._source() if settings.view_cone == 0 else POINTING
        return {
            "shower_prog_id": 1,
            "shower_prog_vers": 0,  # neither CORSIKA nor sim_telarray made these showers
            "shower_prog_start": START_TIME,
            "detector_prog_id": 1,
            "detector_prog_vers": 0,
            "detector_prog_start": START_TIME,
            "obsheight": showers.OBSERVATION_LEVEL,
            "n_showers": self.summary.showers,
            "n_use": settings.reuse,
            "core_pos_mode": 1,  # a circle
            "core_range": (0.0, settings.scatter),
            "alt_range": (alt, alt),
            "az_range": (az, az),
            "diffuse": int(settings.view_cone > 0),
            "viewcone": (0.0, settings.view_cone),
            "energy_range": settings.energy,
            "spectral_index": settings.spectral_index,
            "b_total": 38.8,  # uT, La Palma
            "b_inclination": 0.648,
            "b_declination": -0.0753,
            "injection_height": -1.0,
            "atmosphere": 1,
            "iact_options": 0,
            "low_e_model": 0,
            "high_e_model": 0,
            "bunchsize": 1.0,
            "wavelength_min": 300.0,
            "wavelength_max": 600.0,
            "low_e_detail": 0,
            "high_e_detail": 0,
        }

    def footer(self):
        """The histogram of all simulated events, which ends the file."""
        (low, high), (near, far) = self._histogram_ranges()
        title = "Events, without weights (Ra, log10(E))"
        return eventio_writer.histograms(
            [eventio_writer.histogram(SHOWER_HISTOGRAM, title, self.histogram, (near, far), (low, high))]
        )


def _names(camera):
    """What readers of the metadata need to name the telescope and tell its kind of mirror."""
    return {
        "OPTICS_CONFIG_NAME": camera.optics,
        "CAMERA_CONFIG_NAME": camera.name,
        "MIRROR_CLASS": str(camera.mirror_class),
        "PARABOLIC_DISH": str(int(camera.dish == "parabolic")),
        "FOCAL_Length": f"{100 * camera.focal_length:g}",
        # A dish that is neither parabolic nor of Davies and Cotton's form is told by its own length.
        "DISH_SHAPE_Length": f"{100 * camera.focal_length * (1.2 if camera.dish == 'hybrid' else 1):g}",
    }
