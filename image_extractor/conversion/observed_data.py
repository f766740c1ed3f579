"""What can't be asked of observed data, of which no truth is known."""

from .. import config
from ..errors import ConfigError, InputError
from ..primaries import primary_name
from ..value_ranges import is_open

#: Cuts of [event_cuts] on true values.
TRUE_CUTS = ("true_energy", "true_offset")


def check(path, settings, cuts, chooser):
    """Raise ConfigError if settings ask for what observed data do not have, InputError if the dictionary is of others.

    Parameters
    ----------
    path : str or Path
    settings : dict
    cuts : cuts.dictionary.Dictionary or None
    chooser : analysis.event_chooser.EventChooser or None
    """
    observed, n_bins = f"{path}: is observed data", config.energy_bins(settings).n_bins
    if settings["mode"] == "energy_recon":
        raise ConfigError(f"{observed}: mode = energy_recon labels events by true energies: set mode = gh_class")
    for name in TRUE_CUTS:
        if not is_open(settings["event_cuts"][name]):
            raise ConfigError(f"{observed}: [event_cuts] {name} cuts on what is not known of them: leave it out")
    if chooser:
        raise ConfigError(f"{observed}: lookup tables choose among simulated events: give a dictionary in their place")
    if cuts is None and n_bins > 1:
        raise ConfigError(
            f"{observed}, without a dictionary of reconstructed energies, and [energy_bins] has {n_bins} bins: "
            "give one, or set a bin_size that makes it one bin"
        )
    if cuts is not None and cuts.primary is not None:
        raise InputError(f"{observed}, the dictionary {cuts.name} of {primary_name(cuts.primary)}: give their own")


def check_number(path, name, number):
    """Raise InputError if a dataset can't hold the number of a run or event."""
    if not -(2**63) <= number < 2**63:
        raise InputError(f"{path}: {name} {number} needs more than the 63 bits that a dataset has for it")
