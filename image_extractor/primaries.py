"""Names of primary particles, by sim_telarray's numbers."""

#: 100 * A + Z for nuclei; antiparticles are negative.
NAMES = {
    0: "gamma",
    1: "electron",
    -1: "positron",
    2: "muon",
    -2: "antimuon",
    101: "proton",
    402: "helium",
    1206: "carbon",
    1407: "nitrogen",
    1608: "oxygen",
    2814: "silicon",
    5626: "iron",
}


def primary_id(word):
    """Return the number of a primary by its name or number; raise ValueError, with what is known, for another word."""
    numbers = {name: number for number, name in NAMES.items()}
    if word.lower() in numbers:
        return numbers[word.lower()]
    try:
        number = int(word)
    except ValueError:
        raise ValueError(f"{word}: must be {', '.join(numbers)}, or sim_telarray's number of another") from None
    if abs(number) >= 2**31:
        raise ValueError(f"{word}: is no number of a particle")
    return number


def primary_name(primary_id, is_observed=False):
    """Return the name of a primary, such as 'proton', 'primary 999' where it has none, 'observed' of observed ones."""
    if is_observed:
        return "observed"
    return NAMES.get(int(primary_id), f"primary {int(primary_id)}")
