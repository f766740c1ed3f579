"""One file in, a part out."""
