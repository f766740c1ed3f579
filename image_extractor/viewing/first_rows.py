"""The first rows of a dataset's Events, as text."""

from ..hdf5 import schema
from ..hdf5.image_places import has_image
from ..terminal.text_table import aligned, plural
from ..times import NOT_KNOWN, utc_text


def first_rows(path, n_rows):
    """Return the first rows of the Events tables as an aligned text table, with units.

    Parameters
    ----------
    path : str or Path
    n_rows : int
        From each table.

    Returns
    -------
    str
    """
    from .event_images import open_events

    lines = []
    with open_events(path) as dataset:
        for table in dataset.tables():
            n_shown = min(n_rows, table.nrows)
            if n_shown:
                names = [name for name in table.colnames if table.dtype[name].shape == ()]
                units = ["UTC" if name == schema.TIME[0] else _unit(table, name) for name in names]
                cells = [_cells(dataset, table[row], names) for row in range(n_shown)]
                lines += [f"{table._v_pathname}: {n_shown} of {plural(table.nrows, 'row')}"]
                lines += [*aligned([[*names, "images of"], [*units, "tel_id"], *cells], left=0), ""]
    return "\n".join(lines).rstrip() + "\n" if lines else f"{path}: no rows\n"


def _unit(table, name):
    attributes = table._v_attrs
    for position in range(len(table.colnames)):
        if getattr(attributes, f"CTAFIELD_{position}_NAME", None) == name:
            return str(getattr(attributes, f"CTAFIELD_{position}_UNIT", ""))
    return ""


def _cells(dataset, row, names):
    return [_time(row[name]) if name == schema.TIME[0] else _number(row[name]) for name in names] + [
        _images(dataset, row)
    ]


def _time(value):
    return utc_text(value).removesuffix(" UTC") if value != NOT_KNOWN else "-"


def _number(value):
    return str(value) if value.dtype.kind in "iu" else f"{value:.5g}"


def _images(dataset, row):
    ids = dataset.tel_table["tel_id"][has_image(row)].tolist()
    return ",".join(map(str, ids[:6])) + (f",... ({len(ids)})" if len(ids) > 6 else "")
