"""HDF5 files: their schema, their nodes, and how they appear whole."""
