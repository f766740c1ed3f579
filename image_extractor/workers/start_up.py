"""How a process of this program's own starts: it imports 2,000 modules, and nothing that nobody asks for.

For the command, and for that which workers are forked from. In another's process it would not be this package's to
decide.
"""

import gc
import importlib


def import_frozen(modules):
    """Import modules by their names, without the garbage collector, which then minds only what is made later."""
    begin()
    try:
        for name in modules:
            importlib.import_module(name)
    finally:
        end()


def begin():
    """Turn the garbage collector off, which would look again and again through what is imported and stays.

    And keep numba from its entry points, by which other packages teach it their types: where awkward is installed, as
    uproot needs it, it would import 300 modules.
    """
    gc.disable()
    from numba.core import entrypoints  # here: the command must not import it for its --help

    entrypoints._already_initialized = True  # where it is not there, in other versions, that does nothing


def end():
    """Let the collector, from now on, mind only what is made later: of a fork's memory, that stays shared.

    https://docs.python.org/3/library/gc.html#gc.freeze
    """
    gc.freeze()
    gc.enable()
