"""Datasets that a test changes on purpose, with the checksums of what they are then: so that other checks are asked."""

import contextlib

import tables

from image_extractor.errors import DamagedDatasetError
from image_extractor.hdf5 import dataset_files, schema
from image_extractor.hdf5.checksums import Seal


@contextlib.contextmanager
def changed(path):
    """Open a dataset with PyTables, to be changed."""
    with tables.open_file(str(path), "a") as file:
        yield file
    reseal(path)


def reseal(path):
    """Give a dataset the checksums of what it is; older formats have none."""
    with dataset_files.open_file(path, "a") as file:
        if schema.CHECKSUMS in file.root:
            file.remove_node(f"/{schema.CHECKSUMS}", recursive=True)
        elif not schema.has_checksums(file):
            return
        with contextlib.suppress(DamagedDatasetError):  # of what could hold objects there are none
            Seal.of(file).write(file)
