"""Which parameters of a test belong to the quick part."""

import pytest


def quick_and_slow(values, *quick):
    """Return the values as parameters of a test; all but the quick ones are slow."""
    return [value if value in quick else pytest.param(value, marks=pytest.mark.slow) for value in values]
