"""The telescopes of a dataset that a reader chooses, and the types that it sees."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ..errors import MissingNameError
from ..telescopes import TYPES, normalised
from .sample_types import Integers, Records

#: How telescopes are chosen: by ids or names, one or several.
Telescopes = int | str | Iterable[int | str]


def choose_telescopes(tel_table: Records, telescopes: Telescopes | None, path: str) -> Integers:
    """Return the rows of Tel_Table that are chosen by ids, types, cameras or optics.

    telescopes : None for all, or an id, a word such as 'LST' or 'LST+NectarCam', or several of these
    """
    if telescopes is None:
        return np.arange(len(tel_table))
    given = [telescopes] if isinstance(telescopes, str | int | np.integer) else list(telescopes)
    words = [word for item in given for word in (item.split("+") if isinstance(item, str) else [item])]
    types, cameras, optics = (
        np.array([normalised(name) for name in tel_table[column].astype("U").tolist()])
        for column in ("tel_type", "camera", "optics")
    )
    chosen = np.zeros(len(tel_table), bool)
    for word in words:
        if isinstance(word, str):
            name = normalised(word)
            found = (types == name) | (cameras == name) | ((optics == name) & (word.upper() not in TYPES))
        else:
            found = tel_table["tel_id"] == word
        if not found.any():
            ids = tel_table["tel_id"].tolist()
            names = [np.unique(tel_table[name]).astype("U").tolist() for name in ("tel_type", "camera")]
            raise MissingNameError(path, "telescope", word, [*names[0], *names[1], *ids])
        chosen |= found
    return np.flatnonzero(chosen)


def telescope_types(tel_rows: Records) -> NDArray[np.str_]:
    """Return types of telescopes as the view 'types' names them, such as LST_LSTCam; str array (n,)."""
    names: NDArray[np.str_] = np.char.add(
        np.char.add(tel_rows["tel_type"].astype("U"), "_"), tel_rows["camera"].astype("U")
    )
    return names
