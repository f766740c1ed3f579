"""Runs of the command that are disturbed at a chosen step, and what they leave behind."""

import atexit
import errno
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from helpers.reading import content

HERE = Path(__file__).parent

COUNT, FAIL_ONCE, FAIL_FROM, KILL, RECORD = range(5)


@dataclass
class Ended:
    """How a run ended: its exit code (negative: the signal; None: it hung), what it said, the steps it took.

    The log is what was written of the steps; of a run with RECORD power_loss.operations reads it.
    """

    code: int | None
    stderr: str
    steps: list = field(repr=False)
    log: bytes = field(repr=False, default=b"")

    @property
    def errors(self):
        return [line for line in self.stderr.splitlines() if line.startswith("ERROR: ")]

    def improper(self):
        """Say what a user should not have seen; '' if nothing."""
        if self.code is None:
            return "it hung"
        if "Traceback" in self.stderr:
            return f"a traceback: {self.stderr.strip().splitlines()[-1]}"
        if self.code in (1, 2) and not self.errors:
            return f"exit code {self.code} without a word"
        if self.code not in (0, 1, 2, 130, 143, -9):
            return f"exit code {self.code}"
        return ""


class Server:
    """A process that forks into runs of the command, one at a time; see server.py."""

    def __init__(self, library, folder):
        self._paths = {name: folder / name for name in ("stdout", "stderr", "steps")}
        environment = os.environ | {"LD_PRELOAD": str(library)}
        self._log = folder / "server"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(HERE / "server.py")],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=environment,
            )  # fmt: skip

    def run(self, arguments, folder, **options):
        """Run the command with --jobs 1 to its end; the options are those of :meth:`start`."""
        self.start([*arguments, "--jobs", "1"], folder, **options)
        return self.ended()

    def start(self, arguments, folder, at=0, action=COUNT, number=errno.ENOSPC, timeout=60, limits=(), patches=()):
        """Begin a run, return its process; the step `at` below `folder` fails with errno `number`, or kills.

        limits : {name in module resource: limit}
        patches : {module.NAME of the package: value}
        """
        request = {
            "arguments": [*map(str, arguments)], "folder": str(folder), "at": at, "action": action, "errno": number,
            "timeout": timeout, "limits": dict(limits), "patches": dict(patches),
            **{name: str(path) for name, path in self._paths.items()},
        }  # fmt: skip
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._answer()["pid"]

    def ended(self):
        """Wait for the end of the run."""
        code = self._answer()["code"]
        log = self._paths["steps"].read_bytes()
        return Ended(code, self._paths["stderr"].read_text(), log.decode(errors="replace").splitlines(), log)

    def _answer(self):
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the server ended: {self._log.read_text()}")
        return json.loads(line)

    def close(self):
        self._process.stdin.close()
        self._process.wait(20)


def build_library(folder):
    """Compile failing_io.c; skip the test where that can't be done."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("needs Linux and a C compiler, to make calls of the system fail")
    library = folder / "failing_io.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(HERE / "failing_io.c"), "-ldl"]
    subprocess.run(command, check=True, capture_output=True)
    return library


@functools.cache
def shared_server():
    """Return the server of this test process; it ends with it."""
    folder = Path(tempfile.mkdtemp(prefix="faults_"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    found = Server(build_library(folder), folder)
    atexit.register(found.close)
    return found


def judge(ended, output, old, new, action):
    """Say what is wrong after a disturbed run; '' if nothing."""
    if ended.improper():
        return ended.improper()
    try:
        found = content(output) if output.exists() else None
    except Exception as err:  # noqa: BLE001 - PyTables has many
        return f"broken: {str(err).splitlines()[-1]}"
    if found not in (old, new):
        return f"exit code {ended.code} and another content"
    if ended.code == 0 and found != new:
        return "exit code 0 without the output"
    if ended.code in (1, 2) and len(ended.errors) != 1:
        return f"{len(ended.errors)} lines: {ended.stderr}"
    if action == "fails once" and list(output.parent.glob("**/*.tmp")) and ended.code != 0:
        return "temporary files are left"
    return ""
