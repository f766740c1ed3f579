"""Imported first by the process that workers are forked from: it imports the rest without the garbage collector."""

import gc

gc.disable()
