"""A bins_cuts_dict for a demo production, in the place of a reconstruction by EventDisplay.

``python -m image_extractor.demo.cuts 'demo/*.simtel.gz' bins_cuts_dict.pkl settings.config``
"""

import sys

import numpy as np

from .. import config
from ..cuts import dictionary
from ..errors import ConfigError, InputError
from ..input_files import find_files
from ..terminal.arguments import Parser, user_path
from ..terminal.exit_codes import OK, code_of
from ..terminal.interruption import interruptible

#: Relative error of the energy that a good stereo reconstruction reaches.
ENERGY_RESOLUTION = 0.15


def make_entries(files, bins, seed=0):
    """Return the dictionary of simtel files: true energies with an error of 15 %, and their bins.

    Parameters
    ----------
    files : list of str or Path
        Runs with different run numbers, for a dictionary knows an event by run and event number alone.
    bins : EnergyBins
    seed : int

    Returns
    -------
    dict
        {(run number, event number): (bin, reconstructed energy in TeV)} of the events inside the bins.
    """
    return _made(files, bins, seed)[0]


def _made(files, bins, seed=0):
    """Return the dictionary, and the primaries of its files."""
    entries, file_of, primaries = {}, {}, set()
    for file in files:
        for run_number, energies, primary in true_energies(file):
            if run_number in file_of:
                raise InputError(
                    f"{file}: run {run_number} is that of {file_of[run_number]} too: make two dictionaries"
                )
            file_of[run_number] = file
            primaries.add(primary)
            for event_id, energy in energies.items():
                error = np.random.default_rng([seed, run_number, event_id]).normal(0, ENERGY_RESOLUTION)
                reconstructed = float(energy * np.exp(error))
                energy_bin = int(bins.find(reconstructed))
                if energy_bin >= 0:
                    entries[run_number, event_id] = energy_bin, reconstructed
    return entries, primaries


def true_energies(file):
    """Yield run number, {event_id: true energy in TeV} of the triggered events, and primary of each run of a file."""
    from ..inputs.simtel.open_run import open_runs

    with open_runs(file) as runs:
        for run in runs:
            energies = {}

            def note(event_id, shower, _, energies=energies):
                energies[int(event_id)] = float(shower["energy"])
                return False  # nothing of the event need be decoded

            run.select(run.subarray.tel, note)
            for _ in run:
                pass
            run.check_end()
            yield int(run.obs_id), energies, run.primary


def main(arguments=None):
    """Run the command; returns the exit code."""
    parser = Parser(prog="python -m image_extractor.demo.cuts", description=__doc__.splitlines()[0])
    parser.add_argument("path", metavar="PATH", help="simtel file or quoted wildcard")
    parser.add_argument(
        "output", metavar="OUTPUT", type=user_path, help="dictionary to write; one that is there is replaced"
    )
    parser.add_argument("config", metavar="CONFIG", type=user_path, help="configuration file, for its [energy_bins]")
    options = parser.parse_args(arguments)
    try:
        with interruptible():
            entries, n_bins = _write(options)
    except (ConfigError, InputError, KeyboardInterrupt) as err:
        message = "interrupted; nothing was written" if isinstance(err, KeyboardInterrupt) else err
        sys.stderr.write(f"image_extractor.demo.cuts: {message}\n")
        return code_of(err)
    counts = np.bincount([energy_bin for energy_bin, _ in entries.values()], minlength=n_bins)
    listed = ", ".join(f"{count} in bin {index}" for index, count in enumerate(counts))
    sys.stdout.write(f"{options.output}: {len(entries)} events, {listed}\n")
    return OK


def _write(options):
    """Write the dictionary that is asked for; return it and the number of bins."""
    bins = config.dictionary_bins(config.load(options.config))
    entries, primaries = _made(find_files(options.path), bins)
    dictionary.save(options.output, entries, primary=primaries.pop() if len(primaries) == 1 else None)
    return entries, bins.n_bins


if __name__ == "__main__":
    sys.exit(main())
