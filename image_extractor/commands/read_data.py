"""The command read_data.py: what is in a dataset."""

import sys
from pathlib import Path

from ..errors import DatasetError
from ..input_files import find_all
from ..terminal.arguments import Parser, positive, user_path
from ..terminal.exit_codes import FAILED, OK
from ..terminal.one_line_errors import need, one_line_errors
from ..terminal.text_table import plural
from ..viewing.dataset_report import summary
from ..viewing.first_rows import first_rows
from .output_file import check_output


def main(arguments=None):
    """Run the command read_data.py; returns the exit code."""
    parser = Parser(prog="read_data.py", description="Show what is in a dataset, or verify it.")
    parser.add_argument(
        "datasets", metavar="DATASET", nargs="+", help="HDF5 files that image_extractor.py wrote, or wildcards"
    )
    add = parser.add_mutually_exclusive_group().add_argument
    add("--events", metavar="N", type=positive, help="print the first N rows of each Events table")
    add(
        "--check",
        action="store_true",
        help="verify checksums, and that rows, images, bins and counts agree; exit code 1, and a line each, where not",
    )
    add("--hash", action="store_true", help="print the SHA-256 of the content, made anew of all that is there")
    add(
        "--manifest",
        action="store_true",
        help="write DATASET.manifest.json beside DATASET.h5: that hash, settings, inputs with their sizes and digests",
    )
    add(
        "--html",
        metavar="PAGE.html",
        type=user_path,
        help="write a page about it: what it is, counts, distributions, images, and what one should know of it",
    )
    add("--upgrade", action="store_true", help="give a dataset of an older format checksums, by way of a new file")
    options = parser.parse_args(arguments)
    if options.html and len(options.datasets) > 1:
        parser.error("--html: one page is of one dataset")
    return one_line_errors(_read, options)


def _read(options):
    code, is_line = OK, options.check or options.hash or options.manifest or options.upgrade
    for number, path in enumerate(find_all(options.datasets)):
        sys.stdout.write("\n" if number and not is_line else "")
        try:
            code |= _show(path, options)
        except DatasetError as err:  # others may be sound
            sys.stderr.write(f"{err}\n")
            code = FAILED
    return code


def _show(path, options):
    if options.check:
        return _run_check(path)
    if options.upgrade:
        return _upgrade(path)
    if options.html:
        return _write_page(path, options.html)
    if options.hash or options.manifest:
        from ..viewing import manifest

        text = f"{manifest.write(path)}: written" if options.manifest else f"{manifest.content_sha256(path)}  {path}"
        sys.stdout.write(f"{text}\n")
        return OK
    sys.stdout.write(first_rows(path, options.events) if options.events else summary(path))
    return OK


def _write_page(path, target):
    need("jinja2", "matplotlib")
    check_output(Path(target), [path], overwrite=True)
    from ..report import page

    page.write(path, target)
    sys.stdout.write(f"{target}: written\n")
    return OK


def _upgrade(path):
    from ..batch import merge

    is_new = merge.upgrade(path)
    what = "is of the present format now" if is_new else "has checksums already, left as it is"
    sys.stdout.write(f"{path}: {what}\n")
    return OK


def _run_check(path):
    from ..workers.apart import read_apart

    is_well, lines = read_apart(_checked, path)
    sys.stdout.writelines(f"{path}: {line}\n" for line in lines)
    return OK if is_well else FAILED


def _checked(path):
    """Return whether all is well in a dataset, and lines that tell."""
    from ..batch.older_datasets import has_checksums
    from ..viewing.dataset_check import check, n_not_finite

    problems, n_events, n_images = check(path)
    if problems:
        return False, problems
    n_pixels = n_not_finite(path)
    others = f"; not finite, as their runs say: {plural(n_pixels, 'pixel')}" if n_pixels else ""
    others += "" if has_checksums(path) else "; of a format without checksums: changed pixels can't be told"
    return True, [f"all is well: {plural(n_events, 'event')}, {plural(n_images, 'image')}{others}"]
