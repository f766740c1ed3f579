"""The order of files: run2 before run10."""

import re


def natural_order(path):
    """Return a sorting key in which numbers within names count as numbers."""
    return [(0, int(piece), "") if piece.isdigit() else (1, 0, piece) for piece in re.split(r"(\d+)", str(path))]
