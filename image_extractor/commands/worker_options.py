"""Options of commands that do their work in many processes, or on a cluster; and what takes the tasks."""

import contextlib
import os

from ..terminal.arguments import positive


def add_worker_options(parser):
    """Add --jobs, --scheduler, --on_error and --on_truncated to a parser."""
    add = parser.add_argument
    add("--jobs", metavar="N", type=positive, default=_n_cores(), help="worker processes (default: all cores)")
    add(
        "--scheduler",
        metavar="ADDRESS",
        help="work on a dask cluster: its address, its scheduler file, or 'local'; its workers see the same files",
    )
    add(
        "--on_error",
        choices=["skip", "stop"],
        default="skip",
        help="what an unreadable input does: leave it out, or end the run (default: skip)",
    )
    add(
        "--on_truncated",
        choices=["refuse", "keep"],
        default="refuse",
        help="what an input that ends early does: it is left out, or its whole events are kept (default: refuse)",
    )


def _n_cores():
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def executor(options):
    """Return what takes the tasks, as a context manager: the client of a dask cluster, or None."""
    if options.scheduler is None:
        return contextlib.nullcontext()
    from ..workers.dask_engine import connect

    return connect(options.scheduler, options.jobs)
