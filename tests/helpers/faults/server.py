"""Runs the command again and again, each time in a fork of one process that has imported and done everything once.

Requests and answers are lines of JSON on stdin and stdout; see harness.py. With failing_io.so preloaded, the n-th
change of a folder fails, or kills the run. The processes that a run starts are forks as well, in its group.
"""

import atexit
import ctypes
import importlib
import json
import multiprocessing.util
import os
import resource
import signal
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

LIBRARY = ctypes.CDLL(None)
STDERR = 2


def main():
    from image_extractor.commands.convert import main as command

    warm_up(command)
    multiprocessing.util.spawnv_passfds = fork_instead
    for line in sys.stdin:
        request = json.loads(line)
        deadline = time.monotonic() + request["timeout"]
        child = start(command, request)
        answer(pid=child)
        answer(code=wait(child, deadline))


def answer(**values):
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


def warm_up(command):
    """Convert, shuffle and split once, so that modules are imported, loops compiled and tables read in all forks."""
    import tables
    from tqdm import tqdm

    from image_extractor import config
    from image_extractor.demo import write_demo_file

    tqdm.monitor_interval = 0  # no thread that forks would not have
    threads = tables.set_blosc_max_threads(1)
    settings = {"use_pkl_dict": False, "energy_bins_min": -3, "energy_bins_max": 4, "energy_bins_bin_size": 7}
    settings |= {"telescope_type_mode": "ALL", "storage_mode": "mapped"}
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(Path(folder) / name) for name in ("a.simtel", "o.h5", "a.config")]
        write_demo_file(paths[0], events=1, telescopes="SSTC:2,LST:1")
        Path(paths[2]).write_text(config.dumps(config.from_keywords(settings)))
        stdout, sys.stdout = sys.stdout, sys.stderr
        code = command([*paths, "--shuffle", "--split", "--jobs", "1"])
        sys.stdout = stdout
    tables.set_blosc_max_threads(threads)
    if code or threading.active_count() > 1:
        raise RuntimeError(f"the first conversion left exit code {code} and {threading.enumerate()}")


def start(command, request):
    """Return the process of a run that is about to begin."""
    ready, begins = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        prepare(request)
        os.close(begins)
        run(command, request["arguments"])
    os.close(begins)
    os.read(ready, 1)
    os.close(ready)
    return child


def prepare(request):
    """Make this process the one that is asked for."""
    reset_signals()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    for name, value in request["patches"].items():
        module, _, name = name.rpartition(".")
        setattr(importlib.import_module(f"image_extractor.{module}"), name, value)
    for name, limit in request["limits"].items():
        resource.setrlimit(getattr(resource, name), (limit, limit))
    log = os.open(request["steps"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    arm(request["folder"], request["at"], request["action"], request["errno"], log)


def reset_signals():
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def arm(folder="", at=0, action=0, number=0, log=-1):
    LIBRARY.faults_arm(folder.encode(), ctypes.c_long(at), action, number, log)


def run(command, arguments):
    """Be the run; never returns."""
    code = 1
    try:
        code = exit_code(command, arguments)
        threading._shutdown()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:  # an interruption that comes so late is ignored by the interpreter, too
        os._exit(code)


def exit_code(call, *arguments):
    """Return the exit code of a call, as the interpreter has it."""
    try:
        return call(*arguments) or 0
    except SystemExit as err:
        return err.code if isinstance(err.code, int) else int(err.code is not None)
    except KeyboardInterrupt:
        traceback.print_exc()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.raise_signal(signal.SIGINT)
    except BaseException:  # noqa: BLE001 - as the interpreter does at its end
        traceback.print_exc()
    return 1


def fork_instead(path, arguments, descriptors):
    """Take the place of multiprocessing's function that starts a Python with -c CODE, and these descriptors open."""
    # a new program does not call what is to be done at a fork, in which an interruption would be lost
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    child = os.fork()
    if child:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return child
    arm()
    reset_signals()
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    null = os.open(os.devnull, os.O_RDWR)
    for number in map(int, os.listdir("/proc/self/fd")):  # noqa: PTH208 - what is open, an instant ago
        if number > STDERR and number not in (null, *descriptors):
            os.dup2(null, number)  # closed, as a new program would find it, for all but the object that will close it
    os._exit(exit_code(exec, arguments[-1], {"__name__": "__main__"}))


def wait(child, deadline):
    """Return the exit code of a process, None if it and its group had to be killed at the deadline."""
    while True:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return None
        time.sleep(0.002)


if __name__ == "__main__":
    main()
