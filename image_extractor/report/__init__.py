"""A page for each dataset: what it is, where it came from, what it looks like, and what one should know of it."""
