"""What a dataset is and what it was made of, as JSON, and the hash of its content, made anew of all that it holds."""

import json
import os
from pathlib import Path

from .. import whole_files
from ..errors import DamagedDatasetError
from ..hdf5 import content_hash, dataset_files, nodes, older_formats, schema
from ..hdf5.checksums import Seal

#: Columns of Run_Table that tell of an input.
INPUT_COLUMNS = (
    "file_size", "file_digest", "run_number", "primary", "max_events", "complete", "bins_cuts_dict",
    "bins_cuts_dict_sha256", "events_read", "events_written", "images",
)  # fmt: skip

#: Attributes of the root that are left out: what only this program asks for.
_OWN = ("format", "fingerprint", "report", schema.COUNTS, schema.CHECKSUM, content_hash.ATTRIBUTE)


def content_sha256(path):
    """Return the hash of a dataset's content, made anew of all its rows and attributes.

    Raises
    ------
    DatasetError
        If it is none; DamagedDatasetError if it is not what was written.
    """
    with dataset_files.damage(path), dataset_files.open_dataset(path) as file:
        return _hash(file)


def _hash(file):
    stated = dataset_files.seal_of(file)
    if stated:
        stated.check_nodes(file)
    found = Seal.of(file).content_hash(file)
    if stated and found != str(file.root._v_attrs[content_hash.ATTRIBUTE]):
        raise DamagedDatasetError(file.filename, f"damaged: the hash of its content is {found}, not what it says")
    return found


def write(path):
    """Write the manifest of a dataset beside it, DATASET.manifest.json for DATASET.h5; returns its path.

    Raises
    ------
    DatasetError
        As :func:`content_sha256`.
    OSError
        If it can't be written.
    """
    target = Path(path).with_suffix(".manifest.json")
    whole_files.write(target, (json.dumps(manifest(path), indent=1) + "\n").encode())
    return target


def manifest(path):
    """Return the manifest, a dict of plain values: `dataset`, `content_sha256`, `attributes`, `inputs`.

    file_digest is the SHA-256 of an input's size, first and last MiB.
    """
    with dataset_files.damage(path), dataset_files.open_dataset(path) as file:
        attributes = {name: value for name, value in nodes.user_attributes(file.root).items() if name not in _OWN}
        runs = older_formats.run_table(nodes.all_rows(file.root[schema.RUN_TABLE]))
        return {
            "dataset": Path(path).name,
            content_hash.ATTRIBUTE: _hash(file),
            "attributes": {name: _plain(value) for name, value in attributes.items()},
            "inputs": [
                {"file_name": os.fsdecode(run["file_name"]), **{name: _plain(run[name]) for name in INPUT_COLUMNS}}
                for run in runs
            ],
        }


def _plain(value):
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value.tolist() if hasattr(value, "tolist") else value
