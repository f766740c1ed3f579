"""The pixels of a camera, for networks that need no squares: positions, neighbours, and their cells in arrays."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..errors import DatasetError
from ..hdf5 import dataset_files, schema
from ..hdf5.nodes import all_rows
from ..hdf5.stored_rows import open_to_read
from .sample_types import Floats, Integers, Records

#: Mappings under which a pixel is a cell of its own, or (scale_factor) several.
WITH_PIXELS = ("shifting", "axial")

#: What /Cameras tells of each pixel.
COLUMNS = ("pix_x", "pix_y", "pix_area", "array_x", "array_y")

#: Pixel shapes on a hexagonal lattice.
HEXAGONAL = ("hexagon", "circle")

#: Steps from a cell to those that may touch it: square pixels have the straight ones; of hexagonal ones, whose rows are
#: shifted or whose axes are 60 or 120 degrees apart, six of the eight touch.
STRAIGHT = ((1, 0), (-1, 0), (0, 1), (0, -1))
DIAGONAL = ((1, 1), (1, -1), (-1, 1), (-1, -1))

#: ctapipe's rules (CameraGeometry.calc_pixel_neighbors): neighbours are not further than so many times the nearest
#: one, hexagonal pixels by their distance, square ones by the sum of the distances along x and y.
REACH_HEXAGONAL, REACH_SQUARE = 1.4, 1.5


@dataclass(frozen=True, eq=False)
class CameraPixels:
    """A camera's pixels, in the order of its pixel vectors.

    Attributes
    ----------
    name : str
        Entry of /Cameras.
    pixel_shape : str
        'hexagon', 'circle' or 'square'.
    mapping : str
    pix_x, pix_y : float array (n_pixels,)
        Positions in the camera frame [m].
    pix_area : float array (n_pixels,)
        [m2]
    array_x, array_y : int array (n_pixels,)
        Cell of each pixel in an array of scale_factor 1; with a mapping that resamples, of its centre.
    array_shape : (int, int)
        Cells of an array along x and y, at scale_factor 1.
    scale_factor : int
        Cells along x and y that a pixel takes in the images.
    """

    name: str
    pixel_shape: str
    mapping: str
    pix_x: Floats
    pix_y: Floats
    pix_area: Floats
    array_x: Integers
    array_y: Integers
    array_shape: tuple[int, int]
    scale_factor: int

    @property
    def has_cells(self) -> bool:
        """Whether each pixel has a cell of its own in the arrays."""
        return self.mapping in WITH_PIXELS

    @cached_property
    def cells(self) -> Integers:
        """Number of (the first) cell of each pixel in an image whose x and y are one axis, int array (n_pixels,).

        Raises
        ------
        DatasetError
            If the mapping resamples, so that pixels have no cells of their own.
        """
        self._check_cells()
        factor = self.scale_factor
        found: Integers = self.array_x * factor * (self.array_shape[1] * factor) + self.array_y * factor
        return found

    @cached_property
    def has_pixel(self) -> NDArray[np.bool_]:
        """Which cells of an array belong to a pixel, bool array (n_x, n_y) of an image."""
        self._check_cells()
        cells = np.zeros(self.array_shape, bool)
        cells[self.array_x, self.array_y] = True
        return np.kron(cells, np.ones((self.scale_factor, self.scale_factor), bool))

    def _check_cells(self) -> None:
        if not self.has_cells:
            raise DatasetError(
                f"camera {self.name}: mapping = {self.mapping} resamples: pixels have no cells of their own"
            )

    # -- neighbours ------------------------------------------------------------------------------------

    @cached_property
    def _pairs(self) -> Integers:
        """Pixels and their neighbours, int array (2, n_edges), sorted by both."""
        first, second = self._near()
        along = np.stack([self.pix_x, self.pix_y])
        offset = np.abs(along[:, first] - along[:, second])
        hexagonal = self.pixel_shape in HEXAGONAL
        distance = np.hypot(*offset) if hexagonal else offset.sum(axis=0)
        nearest = np.full(len(self.pix_x), np.inf)
        np.minimum.at(nearest, first, distance)
        near = distance < (REACH_HEXAGONAL if hexagonal else REACH_SQUARE) * nearest[first]
        return np.stack([first[near], second[near]])

    def _near(self) -> tuple[Integers, Integers]:
        """Return pixels and those in the cells around theirs, sorted."""
        self._check_cells()
        pixel = np.full((self.array_shape[0] + 2, self.array_shape[1] + 2), -1)
        pixel[self.array_x + 1, self.array_y + 1] = np.arange(len(self.array_x))
        steps = STRAIGHT + DIAGONAL if self.pixel_shape in HEXAGONAL else STRAIGHT
        around = np.stack([pixel[self.array_x + 1 + x, self.array_y + 1 + y] for x, y in steps], axis=1)
        around.sort(axis=1)
        first, which = np.nonzero(around >= 0)
        return first, around[first, which]

    @property
    def edge_index(self) -> Integers:
        """Edges of the graph of neighbours, both ways, int array (2, n_edges), as torch_geometric takes it."""
        return self._pairs.copy()

    @property
    def indptr(self) -> Integers:
        """Of the matrix of neighbours in CSR: where the neighbours of a pixel begin, int array (n_pixels + 1,)."""
        counts = np.bincount(self._pairs[0], minlength=len(self.pix_x))
        return np.concatenate([[0], np.cumsum(counts)])

    @property
    def indices(self) -> Integers:
        """Of the matrix of neighbours in CSR: the neighbours of all pixels, int array (n_edges,).

        ``scipy.sparse.csr_array((np.ones(len(indices), bool), indices, indptr))`` is ctapipe's ``neighbor_matrix``.
        """
        neighbours: Integers = self._pairs[1].copy()
        return neighbours

    @property
    def shifted_rows(self) -> int:
        """Which rows (along axis 1) of a `shifting` array stand half a cell further along axis 0: 0 even, 1 odd ones.

        HexagDLy's convolutions of (n, channel, x, y) take odd ones: else put an empty row before the first.

        Raises
        ------
        DatasetError
            If the array has no such rows: of square pixels, or another mapping.
        """
        if self.mapping != "shifting" or self.pixel_shape not in HEXAGONAL:
            what = f"{self.pixel_shape} pixels, mapping = {self.mapping}"
            raise DatasetError(f"camera {self.name}: {what}: its arrays have no rows that are shifted")
        first, second = self._pairs
        upward = self.array_y[second] - self.array_y[first] == 1
        # from a row that is shifted the next one is reached by a step along axis 0 of +1 or 0, else of -1 or 0
        forward = (self.array_x[second] - self.array_x[first])[upward] == 1
        return int(np.median(self.array_y[first][upward][forward] % 2)) if forward.any() else 1


def read(path: str, name: str, verify: bool = False) -> CameraPixels:
    """Return the pixels of an entry of /Cameras of a dataset.

    Raises
    ------
    DatasetError
        If there is none of that name, or it is damaged.
    """
    with open_to_read(path, verify) as file, dataset_files.damage(path):
        node = file.get_node(f"/{schema.CAMERAS}", name)
        rows: Records = all_rows(node)
        attributes = node._v_attrs
        shape = tuple(int(cells) for cells in attributes["array_shape"])
        return CameraPixels(
            name,
            str(attributes["pixel_shape"]),
            str(attributes["mapping"]),
            array_shape=(shape[0], shape[1]),
            scale_factor=int(attributes["scale_factor"]),
            **{column: rows[column].copy() for column in COLUMNS},
        )


def same(one: CameraPixels, other: CameraPixels) -> bool:
    """Return whether two cameras' pixels are at the same places, and in the same cells."""
    facts = ("pixel_shape", "mapping", "array_shape", "scale_factor")
    return all(getattr(one, fact) == getattr(other, fact) for fact in facts) and all(
        np.array_equal(getattr(one, column), getattr(other, column)) for column in COLUMNS
    )
