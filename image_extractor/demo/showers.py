"""What the synthetic air showers are: cascades in the air, and the Cherenkov light that telescopes get of them.

This is a sketch of the physics that shapes an image, not a simulation to publish with: a shower is a few
electromagnetic cascades (one for a gamma), each a line of light sources along its track. A telescope sees every
source in its direction, blurred by the cascade's width, as bright as the angle to the track and the distance allow.

Frames: ground x north, y west, z up (m); azimuth from north to east; a direction points from the ground to the sky.
"""

from dataclasses import dataclass

import numpy as np

OBSERVATION_LEVEL = 2150.0  # m
SPEED_OF_LIGHT = 0.299792458  # m / ns

# U.S. standard atmosphere after Linsley, as in the CORSIKA user's guide, appendix D: thickness above a height h is
# a + b exp(-h / c) up to 100 km. Lower edge (cm), a, b (g/cm2), c (cm), 1/c.
ATMOSPHERE_LAYERS = np.array(
    [
        (0.0, -186.5562, 1222.6562, 994186.38, 1 / 994186.38),
        (4.0e5, -94.919, 1144.9069, 878153.55, 1 / 878153.55),
        (1.0e6, 0.61289, 1305.5948, 636143.04, 1 / 636143.04),
        (4.0e6, 0.0, 540.1778, 772170.16, 1 / 772170.16),
        (1.0e7, 0.01128292, 1.0, 1.0e9, 1.0e-9),
    ]
)
REFRACTIVITY = 0.2315  # (n - 1) / density, cm3/g: 2.83e-4 at sea level (Gladstone and Dale)

RADIATION_LENGTH = 36.7  # g/cm2, air
CRITICAL_ENERGY = 8.5e-5  # TeV, air
MOLIERE_DEPTH = 9.6  # g/cm2, the Moliere radius in air
DEPTH_STEP = 15.0  # g/cm2, between light sources of a cascade: less than a pixel in any camera
SMALLEST_CASCADE = 1e-3  # TeV

# Photons per metre of track of a particle at the speed of light, per theta^2 (rad^2), 300 to 600 nm (Frank and Tamm).
PHOTONS_PER_METRE = 2 * np.pi / 137.036 * (1 / 300e-9 - 1 / 600e-9)
PHOTON_DETECTION = 0.04  # p.e. per photon on the mirror with photomultipliers: mirror, window, sensors, dead space
FAST_FRACTION = 0.6  # of the cascade's electrons are above the Cherenkov threshold
EXTINCTION_DEPTH = 1500.0  # g/cm2, Rayleigh and aerosol scattering together
SCATTER_ANGLE = np.deg2rad(1.1)  # scale of the light beyond the Cherenkov angle, from electrons scattered off the axis
CORE_WIDTH = 0.05  # width of the luminous core, in Moliere radii
HALO_SHARE, HALO_SCALE = 0.15, 3.0  # share of the light that comes from further out, and how much further
EMISSION_JITTER = 0.5  # ns, the thickness of the shower front
MIN_COSINE = 0.5  # light from further than 60 degrees off the pointing does not reach a mirror

PRIMARIES = {"gamma": 0, "electron": 1, "proton": 101, "helium": 402}  # names and CORSIKA-like ids of sim_telarray
INTERACTION_LENGTH = {"gamma": RADIATION_LENGTH * 9 / 7, "electron": 18.0, "proton": 85.0, "helium": 52.0}  # g/cm2
NUCLEONS = {"proton": 1, "helium": 4}
CASCADE_ANGLE, CASCADE_ENERGY = 0.013, 0.05  # rad, one sigma per axis, by which a cascade of that energy (TeV) is off
MAX_ANGLE = 0.06  # rad
GENERATION_DEPTH, GENERATIONS = 80.0, 3  # g/cm2 between interactions of hadrons; cascades come from one of the first
SHARING = 0.6  # how evenly the cascades share the energy (of a Dirichlet distribution)

MUON_PHOTONS = 80.0  # p.e. of a full ring at 1.2 degrees, per metre of mirror diameter
MUON_REACH = 150.0  # m, between core and telescope


@dataclass(frozen=True)
class Shower:
    """One shower as light sources on the tracks of its cascades, for a core at the origin.

    Arrays of sources have shape (n_sources,) or (n_sources, 3). `truth` holds what MCShower (2020) tells.
    """

    truth: dict
    direction: np.ndarray  # (3,), to the sky
    position: np.ndarray  # m
    track: np.ndarray  # direction of the cascade that the source belongs to, to the sky
    photons: np.ndarray
    cherenkov_angle: np.ndarray  # rad
    width: np.ndarray  # m, one sigma per axis
    time: np.ndarray  # ns; 0 when the shower front reaches the core
    air_delay: np.ndarray  # ns by which light is slower than in vacuum, down to the ground
    muons: float  # mean number of muon rings in a telescope of 100 m2 near the core


def thickness(height):
    """Mass of the air above a height. height : float array, m; returns g/cm2 (vertical)."""
    h = np.asarray(height, dtype=float) * 100
    layer = np.clip(np.searchsorted(ATMOSPHERE_LAYERS[:, 0], h, side="right") - 1, 0, 4)
    _, a, b, c, _ = ATMOSPHERE_LAYERS[layer].T
    return np.maximum(np.where(layer == 4, a - b * h / c, a + b * np.exp(-h / c)), 0.0)


def density(height):
    """Density of the air. height : float array, m; returns g/cm3."""
    h = np.asarray(height, dtype=float) * 100
    _, _, b, c, _ = ATMOSPHERE_LAYERS[np.clip(np.searchsorted(ATMOSPHERE_LAYERS[:, 0], h, side="right") - 1, 0, 4)].T
    return b / c * np.where(h < ATMOSPHERE_LAYERS[4, 0], np.exp(-h / c), 1.0)


HEIGHTS = np.linspace(110e3, 0, 4401)  # m, downwards, so that the thickness grows
THICKNESSES = thickness(HEIGHTS)


def atmosphere_table():
    """Float array (n, 4): altitude (km), density (g/cm3), thickness (g/cm2), refractive index - 1."""
    height = np.concatenate([np.arange(0, 50e3, 1e3), np.arange(50e3, 111e3, 10e3)])
    return np.stack([height / 1e3, density(height), thickness(height), REFRACTIVITY * density(height)], axis=1)


def height_at(depth):
    """Height (m) with that much air above it. depth : float array, g/cm2 (vertical)."""
    return np.interp(depth, THICKNESSES, HEIGHTS)


def direction_to(az, alt):
    """Unit vector to a place in the sky; az, alt : rad; returns float array (..., 3)."""
    return np.stack([np.cos(alt) * np.cos(az), -np.cos(alt) * np.sin(az), np.sin(alt)], axis=-1)


def sky_axes(az, alt):
    """Pointing direction and the directions in which altitude and azimuth grow: float array (3, 3)."""
    up = np.array([-np.sin(alt) * np.cos(az), np.sin(alt) * np.sin(az), np.cos(alt)])
    along = np.array([-np.sin(az), -np.cos(az), 0.0])
    return np.stack([direction_to(az, alt), up, along])


def cascade_size(depth, energy):
    """Electrons and positrons of an electromagnetic cascade (Greisen 1956, approximation B).

    depth : float array, g/cm2 since the start of the cascade; energy : float array, TeV; the two are broadcast
    returns : float array, 0 before the start
    """
    t = np.maximum(depth, 1e-3) / RADIATION_LENGTH
    y = np.log(energy / CRITICAL_ENERGY)
    age = 3 * t / (t + 2 * y)
    size = 0.31 / np.sqrt(y) * np.exp(t * (1 - 1.5 * np.log(age)))
    return np.where(depth > 0, size, 0.0)


def _hadronic_cascades(rng, energy, start, n_nucleons):
    """Electromagnetic cascades of a hadron or nucleus: energies (TeV), starts (g/cm2), angles off the axis (rad).

    A nucleus is its nucleons side by side. Each feeds a number of cascades that grows with the energy, some
    generations after the first interaction. They leave the axis by their transverse momentum, the small ones most;
    with the root of the energy, as a large one is itself a bundle of many.
    """
    energies, starts = [], []
    for _ in range(n_nucleons):
        n = min(5 + rng.poisson(2.5 * np.log1p(energy / n_nucleons / 0.1)), 30)
        electromagnetic = np.clip(rng.normal(0.55, 0.12), 0.2, 0.85)
        energies.append(electromagnetic * energy / n_nucleons * rng.dirichlet(np.full(n, SHARING)))
        starts.append(start + rng.exponential(GENERATION_DEPTH, n) * rng.integers(0, GENERATIONS, n))
    energies, starts = np.concatenate(energies), np.concatenate(starts)
    keep = (energies > SMALLEST_CASCADE) | (energies == energies.max())
    energies, starts = np.maximum(energies[keep], 2 * CRITICAL_ENERGY), starts[keep]
    angles = rng.normal(0.0, CASCADE_ANGLE, (2, energies.size)) * np.sqrt(CASCADE_ENERGY / energies)
    return energies, starts, np.clip(angles, -MAX_ANGLE, MAX_ANGLE)


def _cascades(rng, primary, energy):
    """The electromagnetic cascades of a shower: energies, starts, angles (2, n), and the first interaction's depth."""
    start = rng.exponential(INTERACTION_LENGTH[primary])
    if primary in NUCLEONS:
        return *_hadronic_cascades(rng, energy, start, NUCLEONS[primary]), start
    later = np.clip(rng.normal(0.0, 20.0), -start, None)  # fluctuation of the first splittings
    return np.array([energy]), np.array([start + later]), np.zeros((2, 1)), start


def make_shower(rng, primary, energy, az, alt):
    """A `Shower` of a primary (key of PRIMARIES) of an energy (TeV) from a direction (rad)."""
    energies, starts, angles, first_depth = _cascades(rng, primary, energy)
    axis, up, along = sky_axes(az, alt)
    tracks = axis + angles[0][:, np.newaxis] * up + angles[1][:, np.newaxis] * along
    tracks /= np.linalg.norm(tracks, axis=1)[:, np.newaxis]
    slant = 1 / np.sin(alt)
    ground = thickness(OBSERVATION_LEVEL) * slant
    depth = np.arange(DEPTH_STEP / 2, ground, DEPTH_STEP)
    size = cascade_size(depth - starts[:, np.newaxis], energies[:, np.newaxis])
    truth = _truth(primary, energy, (az, alt), (first_depth, depth, size.sum(axis=0)), slant)
    cascade, step = np.nonzero(size > size.max() * 1e-4)
    above = _above_ground(depth, slant)[step]
    start_above = _above_ground(np.minimum(starts, ground), slant)[cascade]
    flown = start_above - above
    position = start_above[:, np.newaxis] * axis - flown[:, np.newaxis] * tracks[cascade]
    return Shower(
        truth=truth,
        direction=axis,
        position=position,
        track=tracks[cascade],
        time=-above / SPEED_OF_LIGHT,
        air_delay=REFRACTIVITY * (ground - depth[step]) / 100 / SPEED_OF_LIGHT,
        muons=0.25 * NUCLEONS.get(primary, 0) ** 0.2 * energy**0.4 if primary in NUCLEONS else 0.0,
        **_light(size[cascade, step], depth[step], slant),
    )


def _above_ground(depth, slant):
    """Distance along the axis (m) from the ground to a slant depth (g/cm2)."""
    return (height_at(depth / slant) - OBSERVATION_LEVEL) * slant


def _light(size, depth, slant):
    """Photons, Cherenkov angle (rad) and width (m) of the sources of that many electrons at slant depths (g/cm2)."""
    air = density(height_at(depth / slant))
    angle = np.sqrt(2 * REFRACTIVITY * air)
    track_length = DEPTH_STEP / air / 100  # m per electron
    to_ground = thickness(OBSERVATION_LEVEL) * slant - depth
    photons = size * FAST_FRACTION * track_length * PHOTONS_PER_METRE * angle**2
    return {
        "photons": photons * np.exp(-to_ground / EXTINCTION_DEPTH),
        "cherenkov_angle": angle,
        "width": CORE_WIDTH * MOLIERE_DEPTH / air / 100,
    }


def _truth(primary, energy, direction, profile, slant):
    first_depth, depth, size = profile
    xmax = depth[np.argmax(size)]
    return {
        "primary_id": PRIMARIES[primary],
        "energy": energy,
        "az": direction[0],
        "alt": direction[1],
        "depth_start": 0.0,
        "h_first_int": float(height_at(first_depth / slant)),
        "xmax": xmax,
        "hmax": float(height_at(xmax / slant)),
        "emax": xmax,
        "cmax": xmax,
    }


def expected_photoelectrons(shower, core, tel_position, light_area):
    """Mean number of p.e. that each telescope gets from each source, and the way between them.

    core : float array (2,), m; tel_position : float array (n_tel, 3), m
    light_area : float array (n_tel,), m2, of the mirror, times the efficiency of the sensors
    returns : mean float array (n_tel, n_sources), p.e.; way float array (n_tel, n_sources, 3), m, telescope to source
    """
    way = shower.position + np.array([*core, 0.0]) - tel_position[:, np.newaxis]
    distance = np.linalg.norm(way, axis=-1)
    cos_angle = np.einsum("tsk,sk->ts", way, shower.track) / distance
    angle = np.arccos(np.clip(cos_angle, -1, 1))
    theta, tail = shower.cherenkov_angle, SCATTER_ANGLE
    # Even within the Cherenkov angle, falling exponentially beyond; the norm makes the integral over all angles 1.
    norm = 1 / (np.pi * theta**2 + 2 * np.pi * (tail * theta + tail**2))
    per_solid_angle = norm * np.exp(-np.maximum(angle - theta, 0.0) / tail)
    solid_angle = light_area[:, np.newaxis] / distance**2
    return shower.photons * PHOTON_DETECTION * per_solid_angle * solid_angle, way


def sample_photoelectrons(rng, shower, core, array):
    """The p.e. of one use of a shower in all telescopes.

    array : telescopes with `position` (n_tel, 3), `light_area` (m2), `psf` (deg), `focal_length` (m) (n_tel,) and
        `axes` (3, 3), the pointing as `sky_axes` gives it
    returns : telescope index, x, y (m, camera frame) and time (ns, from when the front reaches the core), each (n_pe,)
    """
    mean, way = expected_photoelectrons(shower, core, array.position, array.light_area)
    depth, up, along = np.moveaxis(way @ array.axes.T, -1, 0)  # along the pointing, and across
    distance = np.linalg.norm(way, axis=-1)
    count = rng.poisson(np.where(depth > MIN_COSINE * distance, mean, 0.0))
    telescope, source = np.nonzero(count)
    pair = (telescope, source)
    blur = np.hypot(shower.width[source] / distance[pair], np.deg2rad(array.psf)[telescope])
    delay = shower.time[source] + shower.air_delay[source] + distance[pair] / SPEED_OF_LIGHT
    of_pair = np.repeat(np.arange(source.size), count[pair])
    blur = blur[of_pair] * np.where(rng.random(of_pair.size) < HALO_SHARE, HALO_SCALE, 1.0)
    x = (up[pair] / depth[pair])[of_pair] + blur * rng.standard_normal(of_pair.size)
    y = (along[pair] / depth[pair])[of_pair] + blur * rng.standard_normal(of_pair.size)
    time = delay[of_pair] + rng.normal(0.0, EMISSION_JITTER, of_pair.size)
    focal_length = array.focal_length[telescope][of_pair]
    return telescope[of_pair], focal_length * x, focal_length * y, time


def sample_muons(rng, shower, core, array):
    """Rings and arcs of muons near telescopes, in the same form as `sample_photoelectrons`.

    A muon through the mirror gives a ring, one beside it the arc that the mirror cuts out of the light cone
    (Vacanti et al. 1994); only the shape and the amount of light are kept here.
    """
    near = np.exp(-np.hypot(*(array.position[:, :2] - core).T) / MUON_REACH)
    count = rng.poisson(shower.muons * near * np.sqrt(array.light_area / 100))
    telescope = np.repeat(np.arange(count.size), count)
    n = telescope.size
    radius = np.deg2rad(rng.uniform(0.8, 1.25, n))
    impact = 2 * np.sqrt(rng.random(n))  # in mirror radii
    half_arc = np.where(impact < 1, np.pi, np.arcsin(1 / np.maximum(impact, 1.0)))
    middle = rng.uniform(0, 2 * np.pi, n)
    depth, up, along = array.axes @ shower.direction
    centre = np.array([up, along]) / depth + rng.normal(0.0, np.deg2rad(0.7), (n, 2))
    diameter = 2 * np.sqrt(array.light_area[telescope] / np.pi)
    light = rng.poisson(MUON_PHOTONS * diameter * radius / np.deg2rad(1.2) * half_arc / np.pi)
    muon = np.repeat(np.arange(n), light)
    phi = middle[muon] + half_arc[muon] * rng.uniform(-1, 1, muon.size)
    r = radius[muon] + rng.normal(0.0, np.deg2rad(0.04), muon.size)
    focal_length = array.focal_length[telescope[muon]]
    arrival = array.position[telescope] - np.array([*core, 0.0])
    time = -(arrival @ shower.direction)[muon] / SPEED_OF_LIGHT + rng.normal(0.0, EMISSION_JITTER, muon.size)
    x, y = focal_length * (centre[muon, 0] + r * np.cos(phi)), focal_length * (centre[muon, 1] + r * np.sin(phi))
    return telescope[muon], x, y, time
