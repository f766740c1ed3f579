"""Command lines: wrong usage is one line, numbers are checked where they are read."""

import argparse
import difflib
import os
import sys

from .logs import print_all_names


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, like every other error, and ends with exit code 2.

    Options may stand anywhere, and be spelt with - or _ between their words.
    """

    def parse_args(self, args=None, namespace=None):
        """Return the options; whatever is too much is wrong usage."""
        print_all_names()
        arguments = sys.argv[1:] if args is None else [str(argument) for argument in args]
        options, surplus = self.parse_known_intermixed_args([self._spelling(one) for one in arguments], namespace)
        if surplus:
            self.error(self._surplus_message(surplus))
        return options

    def error(self, message):
        self.exit(2, f"{self.prog}: {message}; --help shows the usage\n")

    def _long_options(self):
        return [name for name in self._option_string_actions if name.startswith("--")]

    def _spelling(self, argument):
        """Return an argument as the parser knows it: --max-events is --max_events."""
        name, equals, value = argument.partition("=")
        name = "--" + name[2:].replace("-", "_")
        is_known = argument.startswith("--") and any(known.startswith(name) for known in self._long_options())
        return name + equals + value if is_known else argument

    def _surplus_message(self, surplus):
        """Return what to say of arguments that are too many; a shell that spelt out a wildcard makes them."""
        message = f"unrecognized arguments: {' '.join(surplus)}"
        unknown = [one.partition("=")[0].replace("-", "_") for one in surplus if one.startswith("--")]
        known = {name.replace("-", "_"): name for name in self._long_options()}
        near = [known[name] for one in unknown for name in difflib.get_close_matches(one, known, 1)]
        if near:
            return f"{message} (did you mean {' '.join(near)}?)"
        files = any(not argument.startswith("-") for argument in surplus)
        return message + (" (put a wildcard in quotes)" if files else "")


def user_path(text):
    """Return a path in which ~ stands for the home folder, also in quotes; for argparse."""
    return os.path.expanduser(text)  # noqa: PTH111 - what the user wrote stays as it is, './' too


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
