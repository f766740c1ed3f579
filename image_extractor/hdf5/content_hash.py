"""One hash for one content: the same for the same inputs, settings and seed, whenever and however it was written."""

import hashlib

import numpy as np

from . import schema

#: Attribute of the root.
ATTRIBUTE = "content_sha256"

#: Attributes of the root that another run may have otherwise and yet write the same: the moment, the software, and
#: what only parts have. The text of the settings is looked at by itself.
NOT_CONTENT = (
    "utc_time", "command_line", "format_version", "image_extractor_version", "ctapipe_version", "eventio_version",
    "tables_version", "config", "fingerprint", "report", schema.COUNTS, schema.CHECKSUM, ATTRIBUTE,
)  # fmt: skip


def sha256(root_attributes, nodes, blocks):
    """Return the hash of a dataset, 64 hexadecimal digits.

    It is made of the root's attributes but NOT_CONTENT, of the settings but how numbers are stored and how fast, of
    the names, types, attributes and numbers of rows of all nodes, and of the checksums of their rows, block by block.

    Parameters
    ----------
    root_attributes : tables.AttributeSet
    nodes : structured array
        Path, number of rows and checksum of the content of each node, as schema.node_checksum_columns has them.
    blocks : uint64 array
    """
    facts = []
    for name in sorted(set(root_attributes._f_list("user")) - set(NOT_CONTENT)):
        value = np.asarray(root_attributes[name])
        facts.append((name, value.dtype.str, value.tobytes()))
    found = hashlib.sha256(repr((facts, _settings(str(getattr(root_attributes, "config", ""))))).encode())
    for row in nodes:
        found.update(repr((row["path"], int(row["n_rows"]), int(row["content"]))).encode())
    found.update(blocks.astype("<u8"))
    return found.hexdigest()


def _settings(text):
    """Return the lines of settings that say what is stored."""
    import configobj  # readers for training do without it

    try:
        settings = configobj.ConfigObj(text.splitlines(), interpolation=False)
    except configobj.ConfigObjError:  # of a damaged file
        return [text]
    settings.pop("output", None)
    settings.get("calibration", {}).pop("fast", None)
    return settings.write()
