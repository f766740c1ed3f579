"""Does an event have an image of a telescope, and where does it lie?

Mapped storage has images in arrays, and tel_map the row of each, -1 where there is none. `all` storage has them in
the rows of Events, and trig_list is 1 where there is one.
"""

import numpy as np


def has_image(rows):
    """Return where events have an image of a telescope, bool array (n_events, n_telescopes).

    rows : structured array, rows of Events; of a single row the array is (n_telescopes,)
    """
    return rows["tel_map"] >= 0 if "tel_map" in rows.dtype.names else rows["trig_list"] != 0


def image_rows(rows, first, telescopes):
    """Return in which row of its array, or of Events, an image lies, int32 array (n_events, n); -1 where there is none.

    rows : structured array, rows of Events
    first : int
        Number of the first of them in their table.
    telescopes : int array (n,)
        Positions of telescopes in tel_map or trig_list.
    """
    if "tel_map" in rows.dtype.names:
        return rows["tel_map"][:, telescopes].astype(np.int32)
    numbers = np.arange(first, first + len(rows), dtype=np.int32)
    return np.where(has_image(rows)[:, telescopes], numbers[:, np.newaxis], np.int32(-1))
