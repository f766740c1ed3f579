"""Datasets of formats without checksums: looked at as far as can be before they are copied."""

import logging

from ..errors import DamagedDatasetError
from ..hdf5 import dataset_files
from ..terminal.text_table import plural

log = logging.getLogger(__name__)


def check(path):
    """Look at all rows and images of a dataset that has no checksums, and say so; do nothing if it has some.

    Raises
    ------
    DamagedDatasetError
        If something in it does not agree.
    """
    if has_checksums(path):
        return
    from ..viewing import dataset_check

    problems, n_events, n_images = dataset_check.check(path)
    if problems:
        raise DamagedDatasetError(path, problems[0])
    log.warning(
        "%s: of a format without checksums: %s and %s agree with their counts, but changed pixels can't be told; "
        "the new file has checksums",
        path, plural(n_events, "event"), plural(n_images, "image"),
    )  # fmt: skip


def has_checksums(path):
    """Say whether a dataset has checksums."""
    with dataset_files.damage(path), dataset_files.open_dataset(path, rows_only=True) as file:
        return dataset_files.seal_of(file) is not None
