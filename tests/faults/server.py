"""Runs the command again and again, each time in a fork of one process that has imported everything.

Requests and answers are lines of JSON on stdin and stdout; see harness.py. With failing_io.so preloaded, the n-th
change of a folder fails, or kills the run.
"""

import atexit
import ctypes
import json
import os
import resource
import signal
import sys
import time
import traceback


def main():
    import ctapipe.calib

    import image_extractor.batch
    import image_extractor.part
    import image_extractor.simtel
    from image_extractor.command import main as command

    library = ctypes.CDLL(None)
    library.faults_steps.restype = ctypes.c_long
    for line in sys.stdin:
        request = json.loads(line)
        start = time.monotonic()
        child = os.fork()
        if child == 0:
            run(command, library, request)
        status = wait(child, start + request["timeout"])
        answer = {"code": None if status is None else os.waitstatus_to_exitcode(status)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def run(command, library, request):
    """Be the run; never returns."""
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    for name, limit in request["limits"].items():
        resource.setrlimit(getattr(resource, name), (limit, limit))
    log = os.open(request["steps"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    library.faults_arm(
        request["folder"].encode(), *map(ctypes.c_long, (request["at"],)), request["action"], request["errno"], log
    )
    code = 1
    try:
        code = command(request["arguments"])
    except SystemExit as err:
        code = err.code if isinstance(err.code, int) else 1
    except BaseException:  # noqa: BLE001 - as the interpreter does at its end
        traceback.print_exc()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def wait(child, deadline):
    """Return the status of a process, None if it had to be killed at the deadline."""
    while True:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return status
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return None
        time.sleep(0.002)


if __name__ == "__main__":
    main()
