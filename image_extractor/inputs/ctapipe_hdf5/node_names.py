"""Where things are in ctapipe's files; names of its data model v7."""

TRIGGER = "/dl1/event/subarray/trigger"
IMAGES = "/dl1/event/telescope/images"
PARAMETERS = "/dl1/event/telescope/parameters"
SHOWERS = "/simulation/event/subarray/shower"
TRUE_IMAGES = "/simulation/event/telescope/images"
SHOWER_DISTRIBUTIONS = "/simulation/service/shower_distribution"
LAYOUT = "/configuration/instrument/subarray/layout"
OPTICS = "/configuration/instrument/telescope/optics"
GEOMETRY = "/configuration/instrument/telescope/camera/geometry_{}"
OBSERVATIONS = "/configuration/observation/observation_block"
SIMULATIONS = "/configuration/simulation/run"
#: Of telescopes that look at one place all the time, a row for each run; and where others look, with times.
FIXED_POINTINGS = "/configuration/telescope/pointing"
POINTINGS = "/dl0/monitoring/telescope/pointing"


def telescope_name(tel_id):
    """Return the name of a telescope's tables."""
    return f"tel_{tel_id:03d}"
