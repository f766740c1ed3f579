"""Command lines: wrong usage is one line, numbers are checked where they are read."""

import argparse


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, like every other error, and ends with exit code 2."""

    def error(self, message):
        self.exit(2, f"{self.prog}: {message}; --help shows the usage\n")


def surplus_message(surplus):
    """Return what to say of arguments that are too many; a shell that spelt out a wildcard makes them."""
    files = any(not argument.startswith("-") for argument in surplus)
    return f"unrecognized arguments: {' '.join(surplus)}" + (" (put a wildcard in quotes)" if files else "")


def positive(text):
    """Return the argument as a number from 1; for argparse."""
    return _from(1, text)


def not_negative(text):
    """Return the argument as a number from 0; for argparse."""
    return _from(0, text)


def _from(low, text):
    try:
        number = int(text)
    except ValueError:
        number = low - 1
    if number < low:
        raise argparse.ArgumentTypeError(f"{text}: must be a whole number, {low} or more")
    return number
