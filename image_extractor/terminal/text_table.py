"""Text for people: aligned columns, counted things, names that can be encoded."""

import os


def aligned(rows, left=1, gap=2):
    """Return rows as lines of aligned columns.

    rows : list of lists of str
        All of the same length; the first may be a header.
    left : int
        So many first columns are aligned to the left, the others to the right.
    gap : int
        Blanks between columns.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if position < left else cell.rjust(width)
            for position, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append((" " * gap).join(cells).rstrip())
    return lines


def plural(number, noun):
    """Return '1 event', '2 events'."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def printable(text):
    """Return text in which bytes of a file name that are not UTF-8 are spelt out, as \\xff."""
    return os.fsencode(text).decode("utf-8", "backslashreplace")
