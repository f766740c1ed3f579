"""The garbage collector, kept from looking again and again through what is imported and stays.

For processes that are this program's own: the command, and that which workers are forked from. In another's process it
would not be this package's to decide. https://docs.python.org/3/library/gc.html#gc.freeze tells of the fork.
"""

import gc
import importlib


def import_frozen(modules):
    """Import modules by their names, without the collector, which then minds only what is made later."""
    gc.disable()
    try:
        for name in modules:
            importlib.import_module(name)
    finally:
        freeze()


def freeze():
    """Let the collector, from now on, mind only what is made later."""
    gc.freeze()
    gc.enable()
