"""``python -m image_extractor.demo OUT.simtel.gz`` writes a synthetic sim_telarray file."""

import argparse
import sys
import time

from ..errors import ConfigError
from ..terminal.arguments import Parser, user_path
from ..terminal.exit_codes import OK, USAGE, code_of
from ..terminal.interruption import interruptible
from ..terminal.one_line_errors import one_line_errors
from .write import SETTINGS, write_demo_file


class _Parser(Parser):
    """Wrong usage is one line, like every other error."""

    def error(self, message):
        raise ConfigError(f"{message}; --help shows the usage")


def build_parser():
    """The command line; the values are checked where they are used, by `check_settings`."""
    parser = _Parser(
        prog="python -m image_extractor.demo",
        description="Write a sim_telarray file of synthetic showers.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "output", metavar="OUT.simtel.gz", type=user_path, help="file to write; .gz, .zst or plain, by suffix"
    )
    rows = [
        ("events", "N", "triggered events in the file; showers that do not trigger are written besides"),
        ("telescopes", "TYPES", "types (LST, MSTN, MSTF, SCT, SSTC, SSTA, SSTD) and numbers; ids count in this order"),
        ("primary", "NAME", "gamma, proton, electron or helium"),
        ("energy", "MIN,MAX", "range of energies, TeV"),
        ("spectral_index", "INDEX", "energies follow E^INDEX"),
        ("run", "R", "run number"),
        ("seed", "S", "seed of the random numbers: the same settings give the same bytes"),
        ("reuse", "U", "uses of each shower with another core; event number = 100 * shower + use"),
        ("offset", "DEG", "distance of a point source from the pointing"),
        ("view_cone", "DEG", "showers come from a cone, 0: from the point source; 0 for gammas, else 2"),
        ("scatter", "M", "largest distance of the core from the centre"),
    ]
    for name, metavar, text in rows:
        default = argparse.SUPPRESS if SETTINGS[name] is None else SETTINGS[name]
        parser.add_argument(f"--{name}", metavar=metavar, default=default, help=text)
    return parser


def main(arguments=None):
    """Run the command; returns the exit code: 0, 2 for wrong usage or an unwritable file, 130 when interrupted."""
    try:
        settings = vars(build_parser().parse_args(arguments))
        output = settings.pop("output")
        started = time.monotonic()
        with interruptible():
            summary = write_demo_file(output, **settings)
    except ConfigError as error:
        return _complain(code_of(error), error)
    except OSError as error:
        return _complain(USAGE, f"can't write {output}: {error.strerror or error}")
    except KeyboardInterrupt as interrupt:
        return _complain(code_of(interrupt), "interrupted; nothing was written")
    images = ", ".join(f"{number} {camera}" for camera, number in summary.images.items())
    seconds = time.monotonic() - started
    text = f"{output}: {summary.events} events of {summary.showers} showers, images: {images}, {seconds:.1f} s\n"
    return one_line_errors(_print, text)


def _print(text):
    sys.stdout.write(text)
    return OK


def _complain(code, message):
    sys.stderr.write(f"image_extractor.demo: {message}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
