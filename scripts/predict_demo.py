#!/usr/bin/env python
"""Apply the network of train_demo.py to a dataset, such as one of observed data, as an example.

    predict_demo.py DATASET.h5 NETWORK.pt OUTPUT.h5 [--telescopes LST] [--table Events]

NETWORK is what train_demo.py --save wrote. OUTPUT gets tables as ctapipe has them, with obs_id, event_id and, by
telescope, tel_id: the gammaness of each image and its mean over the telescopes of an event, and energies in TeV if the
network gives any. Where OUTPUT is a file of ctapipe-process, such as the one that DATASET was made of, they are added
to it, and ctapipe.io.TableLoader reads all together; else it is new. Needs torch.
"""

import argparse
import functools
import sys
from pathlib import Path

import numpy as np
import tables
import train_demo
from torch.utils.data import DataLoader

from image_extractor.dataset import ImageDataset
from image_extractor.errors import ConfigError, DatasetError
from image_extractor.input_files import find_files
from image_extractor.terminal.arguments import Parser

torch = train_demo.torch

#: Of the names of groups and columns.
PREFIX = "image_extractor"


def load(path, dataset, name):
    """Return the network of a file; raise DatasetError if it is none, ConfigError if it learnt from other images."""
    try:
        kept = torch.load(path, weights_only=True)
        learnt = kept["images"]
        model = train_demo.network(len(learnt["channels"].split("+")), kept["n_outputs"])
        model.load_state_dict(kept["network"])
    except Exception as err:
        raise DatasetError(f"{path}: not a network of train_demo.py --save") from err
    for key, value in train_demo.images_of(dataset).items():
        if learnt[key] != value:
            raise ConfigError(f"{name}: images with {key} = {value}, the network of {path} learnt from {learnt[key]}")
    return model.eval()


def predict(model, dataset):
    """Return the numbers that tell the images of a dataset apart, {name: int array (n,)}, and the outputs (n, k)."""
    parts = []
    with torch.no_grad():
        for batch in DataLoader(dataset.as_torch(256), batch_size=None):
            outputs = model(batch["image"])
            outputs[:, 0] = torch.sigmoid(outputs[:, 0])
            parts.append((*(batch[name].numpy() for name in train_demo.NUMBERS), outputs.numpy()))
    *numbers, outputs = (np.concatenate(part) for part in zip(*parts, strict=True))
    return dict(zip(train_demo.NUMBERS, numbers, strict=True)), outputs


def results(numbers, outputs):
    """Yield (property, container, column, values with their unit) for what the network gives."""
    import astropy.units as u
    from ctapipe.containers import ParticleClassificationContainer, ReconstructedEnergyContainer

    yield "particle_type", ParticleClassificationContainer, "prediction", outputs[:, 0].astype(np.float64)
    if outputs.shape[1] > 1:
        yield "energy", ReconstructedEnergyContainer, "energy", 10.0 ** outputs[:, 1].astype(np.float64) * u.TeV


def by_telescope_and_event(numbers, outputs):
    """Return {path: astropy table} of what the network gives, as ctapipe-apply-models lays it out."""
    from astropy.table import QTable, Table
    from ctapipe.reco.reconstructor import ReconstructionProperty
    from ctapipe.reco.stereo_combination import StereoMeanCombiner
    from ctapipe.reco.utils import add_defaults_and_meta

    tables_ = {}
    for name, container, column, values in results(numbers, outputs):
        found = Table(QTable({**numbers, f"{PREFIX}_tel_{column}": values}))
        found[f"{PREFIX}_tel_is_valid"] = np.isfinite(found[f"{PREFIX}_tel_{column}"])
        add_defaults_and_meta(found, container, prefix=PREFIX, add_tel_prefix=True)
        for tel_id in np.unique(numbers["tel_id"]).tolist():
            of_telescope = found[found["tel_id"] == tel_id]
            tables_[f"/dl2/event/telescope/{name}/{PREFIX}/tel_{tel_id:03d}"] = of_telescope
        found.sort(["obs_id", "event_id", "tel_id"])
        combine = StereoMeanCombiner(
            prefix=PREFIX, property=ReconstructionProperty[name.upper()], log_target=name == "energy"
        )
        stereo = combine.predict_table(found)
        stereo.remove_column(f"{PREFIX}_telescopes")  # a mask of an array's telescopes: not all are in the dataset
        tables_[f"/dl2/event/subarray/{name}/{PREFIX}"] = stereo
    return tables_


def like_triggers(found, path):
    """Return a table with a row for each trigger in ctapipe's file, in its order, like its own; NaN without an image.

    Raises ConfigError if the file lacks events.
    """
    from astropy.table import join
    from ctapipe.io import read_table

    keys = [name for name in train_demo.NUMBERS if name in found.colnames]
    triggers = read_table(path, f"/dl1/event/{'telescope' if 'tel_id' in keys else 'subarray'}/trigger")[keys]
    if "tel_id" in keys:
        triggers = triggers[triggers["tel_id"] == found["tel_id"][0]]
    triggers["place"] = np.arange(len(triggers))
    for name in keys:
        found[name] = found[name].astype(triggers[name].dtype)
    joined = join(triggers, found, keys=keys, join_type="left")
    joined.sort("place")
    first = joined[f"{PREFIX}_{'tel_' if 'tel_id' in keys else ''}is_valid"]
    n_found = len(joined) - np.count_nonzero(getattr(first, "mask", False))
    if (len(joined), n_found) != (len(triggers), len(found)):
        raise ConfigError(f"{path}: has not all events of the dataset: give the file that it was made of, or a new one")
    joined.remove_column("place")
    for name in joined.colnames:
        if hasattr(joined[name], "mask"):
            joined[name] = joined[name].filled(False if joined[name].dtype.kind == "b" else np.nan)
    return joined


def write(path, found):
    """Write tables, each with a row for each trigger where the file is ctapipe's."""
    from ctapipe.io import write_table

    if path.exists():
        found = {place: like_triggers(table, path) for place, table in found.items()}
    for place, table in found.items():
        write_table(table, path, place)


def _check_output(path):
    """Raise ConfigError unless tables can be added to a file, or it is not there."""
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"{path}: its folder does not exist: make it first")
    if not path.exists():
        return
    if not path.is_file() or not tables.is_hdf5_file(str(path)):
        raise ConfigError(f"{path}: not an HDF5 file: choose another OUTPUT")
    with tables.open_file(str(path)) as file:
        if "/dl1/event/subarray/trigger" not in file or "/dl1/event/telescope/trigger" not in file:
            raise ConfigError(f"{path}: not a file of ctapipe's events: choose another OUTPUT")
        for group in file.root.dl2._f_walknodes("Group") if "dl2" in file.root else ():
            if group._v_name == PREFIX:
                raise ConfigError(f"{path}: has predictions already: choose another OUTPUT")


def run(arguments):
    """Predict and write; returns the line to be printed."""
    output = Path(arguments.output)
    _check_output(output)
    find_files(arguments.path)
    columns = train_demo.NUMBERS
    with ImageDataset(arguments.path, arguments.table, telescopes=arguments.telescopes, columns=columns) as dataset:
        model = load(arguments.network, dataset, arguments.path)
        if not len(dataset):
            raise DatasetError(f"{arguments.path}: {arguments.table} has no images")
        dataset.transform = functools.partial(train_demo.inputs, channels=dataset.channel_names)
        numbers, outputs = predict(model, dataset)
    write(output, by_telescope_and_event(numbers, outputs))
    n_events = len(np.unique(np.stack([numbers["obs_id"], numbers["event_id"]]), axis=1).T)
    given = "gammaness and energy" if outputs.shape[1] > 1 else "gammaness"
    return f"{output}: {given} of {len(outputs)} images of {n_events} events"


def main():
    """Read the arguments, predict, write; returns the exit code."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", metavar="DATASET.h5")
    parser.add_argument("network", metavar="NETWORK.pt")
    parser.add_argument("output", metavar="OUTPUT.h5")
    parser.add_argument("--telescopes", help="type, camera or ids (default: all; the camera of the network)")
    parser.add_argument("--table", default="Events", help="table of events (default: Events)")
    try:
        print(run(parser.parse_args()))
    except (ConfigError, DatasetError) as err:
        print(f"ERROR: {err}", file=sys.stderr)
        return 2 if isinstance(err, ConfigError | KeyError) else 1  # wrong usage, or a bad input
    return 0


if __name__ == "__main__":
    sys.exit(main())
