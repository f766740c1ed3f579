"""Names of the mappings that keep pixels as they are; those that resample are in resampling.py."""

#: Mappings that keep every pixel in a cell of its own.
LOSSLESS = ("shifting", "axial")
