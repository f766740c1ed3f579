"""Image parameters of samples, read column by column when they are first asked for."""

import numpy as np
from numpy.typing import NDArray

from ..errors import DatasetError
from ..hdf5 import schema
from ..hdf5.stored_rows import OpenFiles
from ..parameters import columns as parameter_columns
from .sample_index import SampleIndex, SampleSource
from .sample_types import Integers, Records

#: Of samples without an image.
MISSING = {"f": np.nan, "i": -1}


class SampleParameters:
    """Reads image parameters of all images of an index's tables, and keeps what was asked for: 4 bytes an image.

    Parameters
    ----------
    files : OpenFiles
    """

    def __init__(self, files: OpenFiles) -> None:
        self._files = files
        self._columns: dict[tuple[str, int, int], Records] = {}

    def of(self, index: SampleIndex, numbers: Integers, name: str) -> NDArray[np.generic]:
        """Return a parameter of samples.

        Parameters
        ----------
        index : SampleIndex
        numbers : int array (n,)
        name : str

        Returns
        -------
        array (n,), or (n, n_tel) in the event view
            NaN (-1, if it is an integer) where a telescope has no image, or the image was not parameterised.

        Raises
        ------
        DatasetError
            If the dataset has no parameters.
        """
        rows, sources = index.row[numbers], index.source[numbers]
        kind = parameter_columns.dtype()[name]
        values = np.full(rows.shape, MISSING[kind.kind], kind)
        for number in np.unique(sources).tolist():
            source, of_source = index.sources[number], sources == number
            for tel in range(len(source.tel_ids)):
                if rows.ndim == 2:
                    chosen = np.zeros(rows.shape, bool)
                    chosen[:, tel] = of_source & (rows[:, tel] >= 0)
                else:
                    chosen = of_source & (index.tel[numbers] == source.first_tel + tel)
                if chosen.any():
                    values[chosen] = self._column(source, number, tel, name)[rows[chosen]]
        return values

    def _column(self, source: SampleSource, number: int, tel: int, name: str) -> Records:
        key = name, number, tel
        if key not in self._columns:
            self._columns[key] = self._read(source, source.tel_ids[tel], name)
        return self._columns[key]

    def _read(self, source: SampleSource, tel_id: int, name: str) -> Records:
        if not source.has_parameters:
            raise DatasetError(f"{source.path}: has no {name}: only [parameters] store = True stores image parameters")
        place, at = schema.parameters_name(tel_id), parameter_columns.NAMES.index(name)
        path = f"{source.group.rstrip('/')}/{place}" if source.mapped else source.table_path
        table = self._files.rows(source.path, path)
        values: Records = np.empty(table.n_rows, parameter_columns.dtype()[name])
        for first, block in table.all_blocks():
            found = block[name] if source.mapped else block[place][:, at]
            is_there = ~np.isnan(found)
            rows = values[first : first + len(block)]
            rows[~is_there] = MISSING[values.dtype.kind]
            rows[is_there] = found[is_there]
        return values
