"""The seven cameras of the first telescopes as analytic pixel grids.

Counts, pitches, gaps, the order of the pixels and modules, and the rotations are those of the sim_telarray
configurations of the prod3 to prod5 productions; lattices are generated, nothing is copied from a file.
Positions are those of the file, before a reader turns them back by the camera's rotation.
"""

from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np

HEXAGON_FLAT_Y, SQUARE, HEXAGON_FLAT_X = 1, 2, 3  # sim_telarray's codes of pixel shapes
SEGMENTED, DUAL_MIRROR = 0, 2  # sim_telarray's MIRROR_CLASS
SILICON = 1.6  # efficiency of silicon photomultipliers, relative to vacuum tubes
SQRT3 = np.sqrt(3)
SEVENFOLD_ROTATION = np.deg2rad(100.893)  # modules of seven pixels put the camera's axes at this angle


@dataclass(frozen=True)
class PixelFinder:
    """Pixel number by place on a grid of rows and columns, so that light finds its pixel without a search.

    index : int array (n_u, n_v), the pixel there or -1; axes : the positions u and v of rows and columns in units
    of m (square cameras), or the two lattice vectors and the origin (hexagonal cameras)
    """

    index: np.ndarray
    axes: tuple
    hexagonal: bool

    def find(self, x, y):
        """Pixel of each position; x, y : float arrays (n,), m; returns int array (n,), -1 outside of all pixels."""
        u, v = self._hexagon(x, y) if self.hexagonal else self._square(x, y)
        inside = (u >= 0) & (v >= 0) & (u < self.index.shape[0]) & (v < self.index.shape[1])
        return np.where(inside, self.index[np.where(inside, u, 0), np.where(inside, v, 0)], -1)

    def _square(self, x, y):
        edges = [(axis[1:] + axis[:-1]) / 2 for axis in self.axes]
        half = [(axis[1] - axis[0]) / 2 for axis in self.axes]
        found = [np.searchsorted(edge, value) for edge, value in zip(edges, (x, y), strict=True)]
        # Light that falls beside the outermost pixels, or into the gaps between modules, is lost.
        return [
            np.where(np.abs(value - axis[i]) <= h * 1.001, i, -1)
            for value, axis, i, h in zip((x, y), self.axes, found, half, strict=True)
        ]

    def _hexagon(self, x, y):
        origin, vectors = self.axes
        u, v = np.linalg.solve(vectors, np.stack([x - origin[0], y - origin[1]]))
        # Cube rounding: of the three hexagonal coordinates (sum 0), the one rounded furthest follows from the others.
        w = -u - v
        ru, rv, rw = np.round(u), np.round(v), np.round(w)
        du, dv, dw = np.abs(ru - u), np.abs(rv - v), np.abs(rw - w)
        fix_u, fix_v = (du > dv) & (du > dw), (dv >= du) & (dv > dw)
        return np.where(fix_u, -rv - rw, ru).astype(int), np.where(fix_v, -ru - rw, rv).astype(int)


@dataclass(frozen=True)
class Camera:
    """A telescope's optics, pixels and readout. Lengths in m, times in ns, charges in p.e."""

    name: str
    optics: str
    pixel_x: np.ndarray  # (n_pixels,)
    pixel_y: np.ndarray
    module: np.ndarray  # (n_pixels,)
    pixel_shape: int
    pixel_size: float  # flat to flat
    lattice: PixelFinder = field(repr=False)
    focal_length: float
    effective_focal_length: float  # with the aberrations of light off the axis
    mirror_area: float  # m2
    n_mirror_tiles: int
    mirror_class: int
    dish: str  # "parabolic", "hybrid", "davies-cotton" or "schwarzschild-couder"
    sample_time: float
    n_samples: int
    efficiency: float  # of the sensors, relative to photomultipliers
    pulse_rise: float  # sigma of the pulse before its peak
    pulse_fall: float  # and after it
    counts_per_pe: tuple  # summed ADC counts of one p.e., per gain
    pedestal: float  # ADC counts per sample
    noise: tuple  # electronic noise per gain, ADC counts per sample
    night_sky: float  # p.e. per ns and pixel
    saturation: int  # largest ADC count
    psf: float  # deg, one sigma per axis
    rotation: float = 0.0  # rad

    @property
    def n_pixels(self):
        return len(self.pixel_x)

    @property
    def n_modules(self):
        return int(self.module.max()) + 1

    @property
    def n_gains(self):
        return len(self.counts_per_pe)

    @cached_property
    def pixel_in_module(self):
        """Int array (n_pixels,): the place of each pixel among those of its module."""
        first = np.searchsorted(self.module, np.arange(self.n_modules))
        return np.arange(self.n_pixels) - first[self.module]

    @property
    def pixel_area(self):
        return self.pixel_size**2 * (1.0 if self.pixel_shape == SQUARE else SQRT3 / 2)

    @property
    def pulse_step(self):
        """Time step of `pulse`, ns: fine enough for its rise and for the samples."""
        return min(self.pulse_rise, self.sample_time) / 10

    @cached_property
    def pulse(self):
        """Response to one p.e. in steps of `pulse_step`, peak 1; half precision, as it is in the file."""
        steps = np.ceil(5 * np.array([self.pulse_rise, self.pulse_fall]) / self.pulse_step)
        time = np.arange(-steps[0], steps[1] + 1) * self.pulse_step
        return np.exp(-0.5 * (time / np.where(time < 0, self.pulse_rise, self.pulse_fall)) ** 2).astype("f2")

    def pixel_of(self, x, y):
        """Pixel of each position in the camera frame of a reader (rotation undone).

        x, y : float arrays (n,), m; returns int array (n,), -1 where there is no pixel
        """
        cos, sin = np.cos(self.rotation), np.sin(self.rotation)
        return self.lattice.find(cos * x + sin * y, cos * y - sin * x)


def _hexagonal_lattice(x, y, vectors):
    """PixelFinder of pixels at x, y; vectors : float array (2, 2), lattice vectors as columns, m."""
    steps = np.linalg.solve(vectors, np.stack([x - x[0], y - y[0]]))
    u, v = np.rint(steps).astype(int)
    index = np.full((np.ptp(u) + 1, np.ptp(v) + 1), -1)
    index[u - u.min(), v - v.min()] = np.arange(x.size)
    origin = np.array([x[0], y[0]]) + vectors @ [u.min(), v.min()]
    return PixelFinder(index, (origin, vectors), hexagonal=True)


def _square_lattice(x, y):
    axes = tuple(np.unique(np.round(values, 7)) for values in (x, y))
    index = np.full([axis.size for axis in axes], -1)
    index[tuple(np.searchsorted(axis, np.round(v, 7)) for axis, v in zip(axes, (x, y), strict=True))] = range(x.size)
    return PixelFinder(index, axes, hexagonal=False)


def _outward(n):
    """0, -1, 1, -2, 2 ... -n, n: the order in which modules are counted from the centre."""
    return [0, *(sign * i for i in range(1, n + 1) for sign in (-1, 1))]


def _modules_of_seven(pitch=0.05):
    """LSTCam and NectarCam: 265 modules, each a pixel and its six neighbours, in a hexagon without its corners."""
    radius = 9
    modules = np.array(
        [
            (i, j)
            for j in _outward(radius)
            for i in _outward(radius)
            if abs(i + j) <= radius and sorted((abs(i), abs(j), abs(i + j))) != [0, radius, radius]
        ]
    )
    # Module centres lie (2, 1) and (-1, 3) pixel steps apart, in the lattice of the two pixel directions below.
    step_i, step_j = np.array([2, 1]), np.array([-1, 3])
    around = np.array([(0, 0), (1, 0), (0, 1), (-1, 1), (-1, 0), (0, -1), (1, -1)])
    steps = (modules[:, :1] * step_i + modules[:, 1:] * step_j)[:, np.newaxis] + around
    vectors = pitch * np.array([[1, 0.5], [0, SQRT3 / 2]])
    x, y = vectors @ steps.reshape(-1, 2).T
    return {
        "pixel_x": x,
        "pixel_y": y,
        "module": np.repeat(np.arange(len(modules)), 7),
        "pixel_shape": HEXAGON_FLAT_Y,
        "lattice": _hexagonal_lattice(x, y, vectors),
        "rotation": SEVENFOLD_ROTATION,
    }


def _modules_of_twelve(pitch=0.05):
    """FlashCam: three sectors, turned by 120 degrees, of 7 x 7 modules of twelve pixels."""
    half, step = pitch / 2, pitch * SQRT3 / 2
    pattern = np.array(
        [(0, 6), (-1, 5), (2, 6), (1, 5), (0, 4), (-1, 3), (-2, 2), (2, 4), (1, 3), (0, 2), (-1, 1), (1, 1)]
    )
    shift = np.array([(2 * column - 4 * row, 6 * column) for row in range(7) for column in range(7)])
    grid = (shift[:, np.newaxis] + pattern).reshape(7, 7, 12, 2)
    sector = (grid[..., 0] - 2 / 3) * step + 1j * grid[..., 1] * half
    # The modules of the third sector are counted with rows and columns exchanged.
    sectors = [sector, sector * np.exp(-2j * np.pi / 3), sector.swapaxes(0, 1) * np.exp(2j * np.pi / 3)]
    position = np.concatenate(sectors, axis=None)
    x, y = position.real, position.imag
    vectors = np.array([[0, step], [pitch, half]])
    return {
        "pixel_x": x,
        "pixel_y": y,
        "module": np.repeat(np.arange(147), 12),
        "pixel_shape": HEXAGON_FLAT_X,
        "lattice": _hexagonal_lattice(x, y, vectors),
    }


def _columns_of_hexagons(pitch=0.0236):
    """DigiCam: 48 columns from +x to -x, each from -y to +y, in a hexagon of slightly unequal sides."""
    pixels = []
    for column in range(48):
        low = max(-17.5, -0.5 - 1.5 * column, -17.5 + 1.5 * (column - 36))
        high = min(18.0, -0.5 + 1.5 * column, 16.5 - 1.5 * (column - 36))
        offset = 0.5 if column % 2 == 0 else 0.0  # neighbouring columns are half a pixel apart
        low, high = np.ceil(low - offset) + offset, np.floor(high - offset) + offset
        pixels += [(column, row) for row in np.arange(low, high + 1)]
    column, row = np.array(pixels).T
    step = pitch * SQRT3 / 2
    x, y = (23 + 2 / 3 - column) * step, row * pitch
    vectors = np.array([[0, step], [pitch, pitch / 2]])
    return {
        "pixel_x": x,
        "pixel_y": y,
        "module": np.arange(x.size),  # sim_telarray counts every pixel as a drawer of its own
        "pixel_shape": HEXAGON_FLAT_X,
        "lattice": _hexagonal_lattice(x, y, vectors),
    }


def _module_squares(modules_per_row, module_pitch, pixel_pitch, focal_radius=np.inf):
    """Modules of 8 x 8 square pixels, row by row from -y, each row from -x and centred.

    focal_radius : m; a curved camera's flat modules are seen at an angle, so their pixels come closer together
    returns : x, y, module; float arrays (n_modules, 8, 8), pixels [row, column]
    """
    n_rows = len(modules_per_row)
    centres = np.array(
        [
            ((i - (n - 1) / 2) * module_pitch, (row - (n_rows - 1) / 2) * module_pitch)
            for row, n in enumerate(modules_per_row)
            for i in range(n)
        ]
    )
    pitch = pixel_pitch * np.sqrt(1 - (centres / focal_radius) ** 2)
    offset = np.arange(8) - 3.5
    x = np.broadcast_to((centres[:, :1] + pitch[:, :1] * offset)[:, np.newaxis, :], (len(centres), 8, 8))
    y = np.broadcast_to((centres[:, 1:] + pitch[:, 1:] * offset)[:, :, np.newaxis], (len(centres), 8, 8))
    return x, y


def _square_camera(x, y):
    return {
        "pixel_x": x,
        "pixel_y": y,
        "module": np.arange(x.size) // 64,
        "pixel_shape": SQUARE,
        "lattice": _square_lattice(x, y),
    }


def _sct_pixels():
    """SCTCam: 177 modules; within a module the pixels go up the columns."""
    rows = (5, 9, 11, 13, 13, 15, 15, 15, 15, 15, 13, 13, 11, 9, 5)
    x, y = _module_squares(rows, module_pitch=0.054, pixel_pitch=0.0066875)
    return _square_camera(x.swapaxes(1, 2).ravel(), y.swapaxes(1, 2).ravel())


def _astri_pixels():
    """ASTRICam: 37 modules on a sphere; within a module the pixels go along the rows."""
    x, y = _module_squares((3, 5, 7, 7, 7, 5, 3), module_pitch=0.0588, pixel_pitch=0.007175, focal_radius=1.06)
    return _square_camera(x.ravel(), y.ravel())


def _chec_pixels():
    """CHEC: 6 x 6 modules without the corners; the pixels go along the rows of the whole camera."""
    x, y = (v.ravel() for v in _module_squares((6,) * 6, module_pitch=0.05428, pixel_pitch=0.006125))
    x, y = np.round(x, 7), np.round(y, 7)
    inside = (np.abs(x) < 0.11) | (np.abs(y) < 0.11)
    x, y = x[inside], y[inside]
    order = np.lexsort((x, y))
    return _square_camera(x[order], y[order])


MST_OPTICS = {
    "optics": "MST",
    "focal_length": 16.0,
    "effective_focal_length": 16.445,
    "mirror_area": 106.24,
    "n_mirror_tiles": 86,
    "mirror_class": SEGMENTED,
    "dish": "hybrid",
    "psf": 0.03,
}
LST_OPTICS = {
    "optics": "LST",
    "focal_length": 28.0,
    "effective_focal_length": 29.30565,
    "mirror_area": 386.73,
    "n_mirror_tiles": 198,
    "mirror_class": SEGMENTED,
    "dish": "parabolic",
    "psf": 0.03,
}


def _dual_mirror(optics, focal_length, effective_focal_length, mirror_area, psf):
    return {
        "optics": optics,
        "focal_length": focal_length,
        "effective_focal_length": effective_focal_length,
        "mirror_area": mirror_area,
        "n_mirror_tiles": 2,
        "mirror_class": DUAL_MIRROR,
        "dish": "schwarzschild-couder",
        "psf": psf,
    }


def _readout(
    sample_time, n_samples, pulse, counts_per_pe, pedestal, noise, night_sky, efficiency=1.0, saturation=65535
):
    return {
        "sample_time": sample_time,
        "n_samples": n_samples,
        "pulse_rise": pulse[0],
        "pulse_fall": pulse[1],
        "counts_per_pe": counts_per_pe,
        "pedestal": pedestal,
        "noise": noise,
        "night_sky": night_sky,
        "efficiency": efficiency,
        "saturation": saturation,
    }


# Two gains saturate at 12 bits, and there readers change to the low gain; cameras with one gain count further.
# Counts per p.e. are on the low side and the night is a dark one: most of a file is noise, which no compression makes
# small, and the dim images of a small production should still be seen by eye.
READOUTS = {
    "LSTCam": _readout(0.9765625, 40, (0.9, 1.4), (60.0, 3.0), 400.0, (4.0, 0.7), 0.03, saturation=4095),
    "NectarCam": _readout(1.0, 60, (1.1, 1.7), (45.0, 3.0), 250.0, (2.5, 0.6), 0.03, saturation=4095),
    "FlashCam": _readout(4.0, 25, (5.0, 8.0), (40.0,), 100.0, (1.5,), 0.012),
    "SCTCam": _readout(1.0, 64, (1.4, 1.8), (25.0,), 25.0, (0.6,), 0.003, SILICON),
    "CHEC": _readout(1.0, 96, (1.8, 2.6), (30.0,), 40.0, (0.9,), 0.006, SILICON),
    "ASTRICam": _readout(2.0, 1, (15.0, 30.0), (62.5, 1.56), 971.0, (6.0, 0.5), 0.004, SILICON, saturation=4095),
    "DigiCam": _readout(4.0, 50, (4.5, 7.0), (40.0,), 50.0, (1.2,), 0.012, SILICON),
}

# type in --telescopes: camera, pixels, flat-to-flat size of a pixel, optics
CAMERAS = {
    "LST": ("LSTCam", _modules_of_seven, 0.049, LST_OPTICS),
    "MSTN": ("NectarCam", _modules_of_seven, 0.049, MST_OPTICS),
    "MSTF": ("FlashCam", _modules_of_twelve, 0.049, MST_OPTICS),
    "SCT": ("SCTCam", _sct_pixels, 0.0065, _dual_mirror("SCT", 5.5863, 5.5863, 73.35, 0.02)),
    "SSTC": ("CHEC", _chec_pixels, 0.006125, _dual_mirror("GCT", 2.283, 2.283, 12.566, 0.05)),
    "SSTA": ("ASTRICam", _astri_pixels, 0.006975, _dual_mirror("ASTRI", 2.15, 2.15191, 14.563, 0.05)),
    "SSTD": (
        "DigiCam",
        _columns_of_hexagons,
        0.0232,
        {
            "optics": "1M",
            "focal_length": 5.6,
            "effective_focal_length": 5.68,
            "mirror_area": 9.418,
            "n_mirror_tiles": 18,
            "mirror_class": SEGMENTED,
            "dish": "davies-cotton",
            "psf": 0.05,
        },
    ),
}


@lru_cache
def build_camera(tel_type):
    """The `Camera` of a telescope type: a key of CAMERAS, e.g. "LST" or "SSTC"."""
    name, pixels, pixel_size, optics = CAMERAS[tel_type]
    return Camera(name=name, pixel_size=pixel_size, **pixels(), **optics, **READOUTS[name])
