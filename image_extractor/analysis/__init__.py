"""One file in, its reconstructed events out: to lookup tables, or to the entries of a dictionary."""
