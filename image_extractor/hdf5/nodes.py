"""Tables and arrays as this package makes and finds them: chunks, compression, attributes, blocks of rows."""

import warnings

import numpy as np
import tables

from ..errors import DamagedDatasetError, DatasetError
from ..parameters import columns as parameters
from ..terminal.text_table import printable
from . import schema
from .chunk_places import chunk_places, stored_chunks
from .dataset_files import NewFile, damage
from .pytables_patches import write_chunk

#: A chunk is what is compressed, and read, at once: so many bytes of a table's rows, but one image. Trainings read
#: images at random, and chunks of one image are merged as they are. See scripts/benchmarks/compression.py.
CHUNK_BYTES = 1 << 16
IMAGES_PER_CHUNK = 1

#: Bytes of images that are copied at once.
COPY_BYTES = 64 << 20

#: What lies uncompressed is in chunks as large as this, where the final size is known: readers map it into memory.
#: HDF5 admits chunks below 4 GiB.
PLAIN_CHUNK_BYTES = 1 << 29

COMPRESSORS = {"zstd": ("blosc:zstd", 1), "lz4": ("blosc:lz4", 5), "zlib": ("zlib", 4), "none": (None, 0)}


def filters(compression):
    """Return the PyTables filters of an [output] compression."""
    library, level = COMPRESSORS[compression]
    return tables.Filters(complevel=level, complib=library, shuffle=True) if level else tables.Filters(complevel=0)


def rows_of(n_bytes, row_size):
    """Return how many rows of `row_size` bytes fill n_bytes, at least one."""
    return max(1, n_bytes // max(row_size, 1))


def chunk_rows(row_size, filters, n_rows=0):
    """Return the rows of a chunk; `n_rows` is the final number of rows, 0 if it is not known."""
    if filters.complevel or not n_rows:
        return rows_of(CHUNK_BYTES, row_size)
    n_chunks = -(-n_rows * row_size // PLAIN_CHUNK_BYTES)
    return -(-n_rows // n_chunks)  # equal chunks leave no room unused


def create_table(file, where, name, dtype, filters, attributes, n_rows=0):
    """Create a table of a structured dtype, with its attributes; `n_rows` as for :func:`chunk_rows`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", tables.PerformanceWarning)  # rows of `all` storage are large on purpose
        table = file.create_table(
            where,
            name,
            description=dtype,
            filters=filters,
            chunkshape=(chunk_rows(dtype.itemsize, filters, n_rows),),
            createparents=True,
        )
    set_attributes(table, attributes)
    return table


def create_image_array(file, where, name, dtype, shape, filters, attributes, n_images=0, chunk=IMAGES_PER_CHUNK):
    """Create the growing array (0, *shape) of a telescope's images.

    `chunk` images are a chunk; uncompressed, where the final number `n_images` is known, as for :func:`chunk_rows`.
    """
    if n_images and not filters.complevel:
        chunk = chunk_rows(np.dtype(dtype).itemsize * int(np.prod(shape)), filters, n_images)
    array = file.create_earray(
        where,
        name,
        atom=tables.Atom.from_dtype(np.dtype(dtype)),
        shape=(0, *shape),
        chunkshape=(chunk, *shape),
        filters=filters,
        createparents=True,
    )
    set_attributes(array, attributes)
    return array


def create_image_arrays(file, where, arrays, n_images=None):
    """Create growing arrays of images like those of another file; returns {name: array}.

    arrays : {tel_id: array}
    n_images : {name: number}, optional
        The final numbers, as for :func:`create_image_array`.
    """
    found = {}
    for tel_id, array in sorted(arrays.items()):
        name, attributes = schema.image_name(tel_id), user_attributes(array)
        kind = array.atom.dtype, array.shape[1:], array.filters
        found[name] = create_image_array(file, where, name, *kind, attributes, (n_images or {}).get(name, 0))
    return found


def create_parameter_table(file, where, tel_id, filters, n_rows=0):
    """Create the table of the parameters of a telescope's images.

    It has units alone for attributes, which readers find by the position of a column: those that PyTables gives each
    column, and names and descriptions, would take five times as long to write and verify, for every telescope.
    """
    attributes = schema.column_attributes(parameters.COLUMNS)
    units = {name: value for name, value in attributes.items() if name.endswith("_UNIT")}
    usual, file.params["PYTABLES_SYS_ATTRS"] = file.params["PYTABLES_SYS_ATTRS"], False
    try:
        return create_table(file, where, schema.parameters_name(tel_id), parameters.dtype(), filters, units, n_rows)
    finally:
        file.params["PYTABLES_SYS_ATTRS"] = usual


def copy_images(source, target):
    """Append the images of an array to another of the same shape; as they are stored, if both are stored alike.

    If the source says what is stored of them they are not even unpacked.
    """
    are_single = source.chunkshape == target.chunkshape == (1, *source.shape[1:])
    with damage(source._v_file.filename):
        places = chunk_places(source) if are_single and _stored_alike(source, target) else None
        sums = source._v_file.seal.sums(source) if source._v_file.seal else None
    if places is not None and sums is not None and sums.chunks is not None:
        stored = sums.chunks.copy()
        _append_chunks(target, _verified(source, sums, places, stored), len(places))
        _note_stored(target, sums.sums, stored)
        return
    first = 0
    for images in blocks(source):
        if places is None:
            append(target, images)
        else:  # HDF5 looks through all chunks to find one as it is stored: what is noted are the images
            _note(target, images)
            _append_chunks(target, stored_chunks(source, places[first : first + len(images)]), len(images))
        first += len(images)


def _verified(source, sums, places, stored):
    """Yield chunks that hold what was written; `stored` gets the checksums of those that are stored otherwise now."""
    for row, chunk in enumerate(stored_chunks(source, places)):
        if sums.of_chunk(chunk) != stored[row]:  # a tool such as ptrepack compressed it anew; or it is damaged
            with damage(source._v_file.filename):
                sums.check(row, source[row : row + 1])
            stored[row] = sums.of_chunk(chunk)
        yield chunk


def _append_chunks(target, chunks, n_chunks):
    """Append chunks as they are stored, (bytes, filter mask)."""
    first = target.nrows
    target.truncate(first + n_chunks)
    for row, chunk in enumerate(chunks, first):
        write_chunk(target, row, *chunk)


def _stored_alike(source, target):
    return str(source.filters) == str(target.filters) and source.dtype == target.dtype


def blocks(node):
    """Yield the rows of a table or array in blocks of COPY_BYTES, held against checksums if its file is verified."""
    with damage(node._v_file.filename):
        sums = node._v_file.seal.sums(node) if node._v_file.seal else None
    step = rows_of(COPY_BYTES, node.rowsize)
    step = max(step // sums.block, 1) * sums.block if sums else step
    for first in range(0, node.nrows, step):
        with damage(node._v_file.filename):
            rows = node[first : min(first + step, node.nrows)]
            if sums:
                sums.check(first, rows)
        yield rows


def all_rows(node):
    """Return all rows of a small table, held against checksums if its file is verified."""
    rows = list(blocks(node))
    return np.concatenate(rows) if rows else node[:]


def set_attributes(node, attributes):
    """Set attributes of plain types; others would be pickled."""
    for name, value in attributes.items():
        if not isinstance(value, str | bool | int | float | np.ndarray | np.generic):
            raise TypeError(f"attribute {name}: {type(value).__name__} would be pickled")
        node._v_attrs[name] = printable(value) if isinstance(value, str) else value  # HDF5's text is UTF-8


def user_attributes(node):
    """Return the attributes of a node that are not HDF5's or PyTables' own; raise DatasetError for a pickle."""
    with damage(node._v_file.filename):
        attributes = {name: node._v_attrs[name] for name in node._v_attrs._f_list("user")}
    for name, value in attributes.items():
        if isinstance(value, bytes) and not isinstance(value, np.generic):
            where = f"{node._v_file.filename}: {node._v_pathname}"
            raise DatasetError(f"{where}: its attribute {name} is a Python object, which is not read")
    return attributes


def append(node, rows):
    """Append rows to a table or array; those of a file under :func:`replacing` are compared when it is complete."""
    rows = np.ascontiguousarray(rows, node.dtype)
    _note(node, rows)
    node.append(rows)


def _note(node, rows):
    if isinstance(node._v_file, NewFile):
        node._v_file.ledger.note(node, rows)


def _note_stored(node, sums, stored):
    if isinstance(node._v_file, NewFile):
        node._v_file.ledger.note_stored(node, sums, stored)


def check_kinds(file):
    """Raise DatasetError unless tables are there, and are tables: other nodes could hold Python objects.

    Of mapped storage, every telescope must have its array of images.
    """
    nodes = [file.root[schema.TEL_TABLE], file.root[schema.RUN_TABLE]]
    for group in events_groups(file):
        found = events_tables(group).values()
        if not found:
            raise DamagedDatasetError(file.filename, f"damaged: {group._v_pathname} has no {schema.EVENTS}")
        nodes += found
    for node in nodes:
        if not isinstance(node, tables.Table):
            raise DatasetError(f"{file.filename}: {node._v_pathname} is no table")
    for group in events_groups(file):
        if any("tel_map" in table.colnames for table in events_tables(group).values()):
            missing = set(file.root[schema.TEL_TABLE].col("tel_id").tolist()) - set(image_arrays(group))
            if missing:
                damage = f"damaged: {group._v_pathname}: the images of telescope {min(missing)} are missing"
                raise DamagedDatasetError(file.filename, damage)


def leaf(file, group, name, kind, n_rows=None):
    """Return a table or array of a file; raise DatasetError unless it is there and has (if given) so many rows."""
    with damage(file.filename):
        node = file.get_node(group, name)
        if not isinstance(node, kind) or n_rows not in (None, node.nrows):
            rows = "" if n_rows is None else f" of {n_rows} rows"
            raise DamagedDatasetError(file.filename, f"damaged: {node._v_pathname} is no {kind.__name__}{rows}")
    return node


def events_groups(file):
    """Return the groups that hold Events tables: /E0, /E1, ... or the root."""
    bins = {node._v_name[1:]: node for node in file.root._f_iter_nodes("Group") if node._v_name[0] == "E"}
    return [bins[number] for number in sorted(filter(str.isdigit, bins), key=int)] or [file.root]


def events_tables(group):
    """Return {name: table} of the Events tables of a group, in the order Events, Training, Validation, Test."""
    return {name: group._f_get_child(name) for name in schema.EVENTS_TABLES if name in group}


def image_arrays(group):
    """Return {tel_id: array} of the image arrays of a group; empty in `all` storage."""
    nodes = {node._v_name: node for node in group._f_iter_nodes("Array") if node._v_name[:1] == "T"}
    return {int(name[1:]): node for name, node in nodes.items() if name[1:].isdigit()}


def parameter_tables(group):
    """Return {tel_id: table} of the image parameters in a group, of telescopes with images; empty in `all` storage."""
    nodes = {node._v_name: node for node in group._f_iter_nodes("Table") if node._v_name[:1] == "P"}
    return {int(name[1:]): node for name, node in nodes.items() if name[1:].isdigit()}
