"""Events back from a dataset: pictures, reports, checks."""
