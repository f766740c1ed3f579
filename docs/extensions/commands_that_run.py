"""``{run}``: a shell command that runs when the site is built, with what it prints.

Commands of a page run one after the other in ``tutorial_files``, which is empty when the page is read. A command that
ends with another exit code than it should, 0 if none is given, ends the build.

    ```{run}
    :exit: 1
    :image: images.png
    image_extractor.py "demo/*.simtel.gz" dataset.h5 settings.config
    ```
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

FOLDER = "tutorial_files"

#: Lines of output that are shown, the first and the last ones of longer ones.
MOST_LINES = 60


class Run(SphinxDirective):
    """The directive."""

    has_content = True
    option_spec: ClassVar = {"exit": directives.nonnegative_int, "image": directives.unchanged}

    def run(self):
        """Run the command; return it with its output, and the picture that it made."""
        command = "\n".join(self.content)
        found = [self._literal(f"$ {command}\n{self._output(command)}".rstrip())]
        if "image" in self.options:
            alt = f"The picture that the command above made: {self.options['image']}"
            found.append(nodes.image(uri=f"/{FOLDER}/{self.options['image']}", alt=alt))
        return found

    def _output(self, command):
        folder = self._folder()
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        environment = os.environ | {"PATH": path, "COLUMNS": "100", "LC_ALL": "C.UTF-8"}
        ended = subprocess.run(
            command, shell=True, cwd=folder, env=environment, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        if ended.returncode != self.options.get("exit", 0):
            where = f"{self.env.docname}, line {self.lineno}"
            raise ExtensionError(f"{where}: {command}\nended with {ended.returncode}:\n{ended.stdout}")
        lines = ended.stdout.splitlines()
        if len(lines) > MOST_LINES:
            lines = [*lines[: MOST_LINES // 2], "...", *lines[-MOST_LINES // 2 :]]
        return "\n".join(lines)

    def _folder(self):
        folder = Path(self.env.srcdir) / FOLDER
        if self.env.temp_data.get("commands_folder") is None:  # the first command of this page
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            self.env.temp_data["commands_folder"] = folder
        return folder

    @staticmethod
    def _literal(text):
        return nodes.literal_block(text, text, language="text")


def setup(app):
    """Register the directive; pages are read one after the other, as they share a folder."""
    app.add_directive("run", Run)
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": True}
