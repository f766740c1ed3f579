"""Interruptions, by Ctrl-C or SIGTERM, of which none is lost."""

import atexit
import contextlib
import functools
import signal
import sys
import threading

#: After so many seconds a lost interruption comes again: whatever swallowed it has ended by then.
PAUSE = 0.05


@contextlib.contextmanager
def interruptible():
    """Raise KeyboardInterrupt(number of the signal) in the block when SIGINT or SIGTERM comes.

    What a signal's handler raises while Python runs a destructor or a callback of a weak reference is printed and
    dropped, after which the program would go on as if nobody had asked it to stop: then the signal is sent again.
    """
    if threading.current_thread() is not threading.main_thread():  # which alone is interrupted
        yield
        return
    again = []
    handlers = {number: signal.signal(number, _interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    hook, sys.unraisablehook = sys.unraisablehook, functools.partial(_send_again, again)
    try:
        yield
    finally:
        for timer in again:  # which would meet other handlers
            timer.cancel()
        sys.unraisablehook = hook
        for number, handler in handlers.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


@functools.cache
def deaf_at_exit():
    """Let Ctrl-C do nothing while the interpreter ends; to be called when a command has done its work.

    There is nothing left to stop, and what other libraries do then would print a traceback.
    """
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)  # last in, first done


def _interrupt(number, _):
    raise KeyboardInterrupt(number)


def _send_again(timers, unraisable):
    if not isinstance(unraisable.exc_value, KeyboardInterrupt):
        sys.__unraisablehook__(unraisable)
        return
    number = next(iter(unraisable.exc_value.args), signal.SIGINT)
    timer = threading.Timer(PAUSE, signal.pthread_kill, (threading.main_thread().ident, number))
    timer.daemon = True
    timer.start()
    timers.append(timer)
