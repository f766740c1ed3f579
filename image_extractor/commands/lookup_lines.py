"""What commands say of a lookup in tables."""

#: Parts of the images above which tables are too empty: those without an entry, and those of widened cells.
MOST_MISSING, MOST_WIDENED = 0.05, 0.3


def table_lines(counts):
    """Yield what is to be said of a lookup.

    counts : events.LookupCounts
    """
    yield f"events of fewer than 2 good images, not reconstructed: {_of(counts.events_without, counts.events)}"
    yield f"good images without an entry in the tables: {_of(counts.missing, counts.images)}"
    yield f"good images from cells that took in their neighbours: {_of(counts.widened, counts.images)}"
    if counts.kinds_without:
        yield f"warning: the tables have no {', '.join(sorted(counts.kinds_without))}: make them of gammas with these"
    if counts.images and counts.missing > MOST_MISSING * counts.images:
        yield "warning: many images have no entry: are the tables of the same array and energies?"
    if counts.images and counts.widened > MOST_WIDENED * counts.images:
        yield "warning: the tables have few entries where these images are: more gammas make them better"
    if counts.events and counts.events_without == counts.events:
        yield "warning: no event has two good images: single telescopes can't be reconstructed"


def _of(number, whole):
    return f"{number:,} of {whole:,}" + (f" ({number / whole:.2%})" if whole else "")
