"""The fractions of a split: what they must be."""

#: They may be rounded: 0.33333 three times add up to 1.
TOLERANCE = 1.1e-5


def are_right(fractions):
    """Say whether fractions are above 0 and add up to 1."""
    return all(fraction > 0 for fraction in fractions) and abs(sum(fractions) - 1) <= TOLERANCE


def check(fractions):
    """Raise ValueError unless fractions are above 0 and add up to 1.

    fractions : collection of float
    """
    if not are_right(fractions):
        raise ValueError(f"split fractions {', '.join(map(str, fractions))}: must be above 0 and add up to 1")
