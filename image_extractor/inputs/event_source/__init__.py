"""Whatever ctapipe's EventSource reads: its own HDF5 files and those of plugins."""
