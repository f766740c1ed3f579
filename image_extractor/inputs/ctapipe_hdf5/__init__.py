"""HDF5 files of ctapipe-process and ctapipe-merge, 0.28 to 0.32, read with PyTables in blocks.

ctapipe's own readers refuse files of later versions, and read events one by one.
"""
