"""Extractors that misbehave at one file, in a module that the workers of a cluster can import."""

import os
import signal
import sys
import time

from image_extractor.conversion.converter import Converter


class Deadly(Converter):
    """Kills its worker at run 2."""

    def convert(self, data_file, *rest):
        if "run2." in data_file.name:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().convert(data_file, *rest)


class Waiting(Converter):
    """Begins run 10, and waits until the file `go` is beside the output."""

    def convert(self, data_file, part_path, *rest):
        if "run10." in data_file.name:
            folder = part_path.parent.parent
            (folder / f"begun.{os.getpid()}").touch()
            while not (folder / "go").exists():
                time.sleep(0.01)
        return super().convert(data_file, part_path, *rest)


def command(name):
    """Run the command with one of these extractors."""
    import image_extractor.conversion.converter
    from image_extractor.commands.convert import main

    image_extractor.conversion.converter.Converter = globals()[name]
    sys.exit(main())
