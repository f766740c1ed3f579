#!/usr/bin/env python
"""Train a small convolutional network to tell gammas from protons, as an example and as a check of a dataset.

    train_demo.py DATASET.h5 [--energy] [--save NETWORK.pt] [--checkpoint TRAINING.pt] [--parameters]
                             [--plot train_demo.png] [--shuffle_labels]

DATASET holds gammas and protons, split into Training and Validation (and Test, where there is one). With --parameters
a random forest learns from image parameters alone, in the place of a network from images. With --shuffle_labels no
image keeps its label: the area under the ROC curve must fall to 0.5, or something leaks. With --energy the network also
learns the energy of gammas. --save keeps it for predict_demo.py, which takes it to other datasets. --checkpoint keeps
the training itself, every 50 batches: after an interruption the same command goes on in the middle of an epoch, and
ends with the network of one that was not interrupted.
Needs torch (with --parameters scikit-learn, which ctapipe brings along), and matplotlib for the plot.
"""

import argparse
import functools
import sys
import time
from pathlib import Path

import numpy as np

try:
    import torch
    from torch import nn
    from torch.utils.data import DataLoader
except ModuleNotFoundError:
    if "--parameters" not in sys.argv:
        sys.exit("train_demo.py needs torch: pip install torch")

from image_extractor.dataset import ImageDataset
from image_extractor.errors import ConfigError, DatasetError
from image_extractor.input_files import find_files
from image_extractor.parameters.columns import IMAGE_COLUMNS
from image_extractor.terminal.arguments import Parser


def network(n_channels, n_outputs=1):
    """Return three convolutions, a maximum over the image, and a linear layer.

    Its outputs are the logit of being a gamma and, with a second one, log10 of the energy in TeV of a gamma.
    """
    layers, n_in = [], n_channels
    for n_out, size, stride in ((16, 5, 2), (32, 3, 1), (64, 3, 1)):
        layers += [nn.Conv2d(n_in, n_out, size, stride, padding=1), nn.BatchNorm2d(n_out), nn.ReLU(), nn.MaxPool2d(2)]
        n_in = n_out
    return nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(n_in, n_outputs))


def saved(model, dataset):
    """Return what predict_demo.py needs of a network and of the images that it learnt from, as tensors and text."""
    return {"network": model.state_dict(), "n_outputs": model[-1].out_features, "images": images_of(dataset)}


def images_of(dataset):
    """Return what the images of a dataset have in common, and a network relies on, all as text."""
    cameras = sorted({name.decode() for name in dataset.telescopes["camera"].tolist()})
    facts = {"cameras": "+".join(cameras), "channels": "+".join(dataset.channel_names)}
    facts |= {"cells": "x".join(map(str, dataset.image_shape[:2]))} | dataset.image_facts
    return {key: str(value) for key, value in facts.items()}


LABELS = ("is_gamma", "log10_energy")
NUMBERS = ("obs_id", "event_id", "tel_id")
SAMPLE = (*NUMBERS, "primary")


def inputs(batch, channels):
    """The transform of a batch: charges compressed, times from the pulses' mean, where there is light."""
    image = batch["image"]
    light = np.clip(image[..., 0], 0, None)
    if "time" in channels:
        bright = light * (light > 5)
        mean = (bright * image[..., 1]).sum((1, 2)) / np.maximum(bright.sum((1, 2)), 1e-3)
        image[..., 1] = np.where(light > 5, np.clip((image[..., 1] - mean[:, None, None]) / 5, -3, 3), 0)
    image[..., 0] = np.log1p(light / 5)
    return batch


class ShuffledLabels:
    """The same transform, with the labels of the whole table dealt out anew among its images."""

    def __init__(self, dataset, seed):
        self._channels = dataset.channel_names
        labels = np.random.default_rng(seed).permutation(dataset.labels(("is_gamma",))["is_gamma"])
        self._labels = dict(zip(self._samples(dataset.labels(SAMPLE)), labels, strict=True))

    @staticmethod
    def _samples(columns):
        return zip(*(columns[name].tolist() for name in SAMPLE), strict=True)

    def __call__(self, batch):
        """Change image and label of a batch."""
        return inputs(batch, self._channels) | {
            "is_gamma": np.array([self._labels[sample] for sample in self._samples(batch)])
        }


def roc(scores, labels):
    """Return false and true positive rates, and the area under the curve (ties count half)."""
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    gammas = np.cumsum(labels[order])[last]
    true, false = np.append(0, gammas / gammas[-1]), np.append(0, (last + 1 - gammas) / (last + 1 - gammas)[-1])
    return false, true, float(((true[1:] + true[:-1]) / 2 * np.diff(false)).sum())


def loss_of(outputs, is_gamma, log10_energy):
    """Return the cross entropy and, with a second output, the mean square error of log10(energy) of the gammas."""
    loss = nn.functional.binary_cross_entropy_with_logits(outputs[:, 0], is_gamma)
    if outputs.shape[1] == 1:
        return loss
    squares = (outputs[:, 1] - log10_energy) ** 2 * is_gamma
    return loss + squares.sum() / is_gamma.sum().clamp(min=1)


def evaluate(model, batches):
    """Return the mean loss, outputs, labels and log10 of the true energies of a dataset."""
    model.eval()
    with torch.no_grad():
        found = [
            (model(batch["image"]), batch["is_gamma"].float(), batch["log10_energy"].float())
            for batch in DataLoader(batches, batch_size=None)
        ]
    found = [torch.cat(parts) for parts in zip(*found, strict=True)]
    return float(loss_of(*found)), *(values.numpy() for values in found)


def _check_classes(path, table, labels):
    """Raise DatasetError unless there is something to tell apart."""
    n_gammas, n_others = int(labels.sum()), int((1 - labels).sum())
    if not (n_gammas and n_others):
        counts = f"{n_gammas} images of gammas and {n_others} of others"
        raise DatasetError(f"{path}: {table} has {counts}: both are needed to learn what tells them apart")


#: Batches after which a checkpoint is written.
CHECKPOINT_BATCHES = 50


class Training:
    """A training that can be interrupted: network, optimizer, the order of batches, random numbers and losses.

    Attributes
    ----------
    model : nn.Module
    losses : list of [mean loss, loss of the validation], of each epoch
    seconds : {"loading": s, "training": s}
    n_images : int
    """

    def __init__(self, model, batches, epochs, path):
        self.model, self._batches, self._path = model, batches, Path(path) if path else None
        self._optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-2)
        n_steps = epochs * (len(batches.dataset) // batches.batch_size + 1)
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(self._optimizer, 4e-3, total_steps=n_steps)
        self.losses, self._of_batches, self.seconds, self.n_images = [], [], {"loading": 0.0, "training": 0.0}, 0
        if self._path and self._path.exists():
            self._go_on(torch.load(self._path, weights_only=True))

    @property
    def _parts(self):
        return {"model": self.model, "optimizer": self._optimizer, "schedule": self._schedule, "batches": self._batches}

    def _go_on(self, kept):
        for name, part in self._parts.items():
            part.load_state_dict(kept[name])
        self.losses, self._of_batches = kept["losses"], kept["of_batches"]
        torch.set_rng_state(kept["random"])
        print(f"{self._path}: goes on in epoch {len(self.losses) + 1} after {len(self._of_batches)} batches")

    def _keep(self):
        """Write the checkpoint; the old one is there until the new one is whole."""
        kept = {name: part.state_dict() for name, part in self._parts.items()}
        kept |= {"losses": self.losses, "of_batches": self._of_batches, "random": torch.get_rng_state()}
        temporary = self._path.with_name(f"{self._path.name}.tmp")
        torch.save(kept, temporary)
        temporary.replace(self._path)

    def epoch(self):
        """Train with what is left of the next epoch; return the mean loss of all its batches."""
        self.model.train()
        # a generator of its own: DataLoader would take a number from torch's, one more for each interruption
        batches = DataLoader(self._batches, batch_size=None, generator=torch.Generator())
        start = time.perf_counter()
        for batch in batches:
            loaded = time.perf_counter()
            self._step(batch)
            self.seconds["loading"] += loaded - start
            start = time.perf_counter()
            self.seconds["training"] += start - loaded
            self.n_images += len(batch["image"])
            if self._path and len(self._of_batches) % CHECKPOINT_BATCHES == 0:
                self._keep()
                start = time.perf_counter()
        return float(np.mean(self._of_batches))

    def _step(self, batch):
        loss = loss_of(self.model(batch["image"]), batch["is_gamma"].float(), batch["log10_energy"].float())
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        self._schedule.step()
        self._of_batches.append(loss.item())

    def end_epoch(self, mean_loss, held_out):
        """Note the losses of an epoch."""
        self.losses.append([mean_loss, held_out])
        self._of_batches = []
        self._batches.set_epoch(len(self.losses))
        if self._path:
            self._keep()

    def rates(self):
        """Return images/s of loading, and of training, in words."""
        return ", ".join(f"{name} {self.n_images / max(s, 1e-9):,.0f} images/s" for name, s in self.seconds.items())


def train(arguments):
    """Train and test; returns the losses of each epoch, the ROC curve and its area."""
    tables = [
        ImageDataset(arguments.path, table=name, telescopes=arguments.telescopes, columns=(*LABELS, *SAMPLE))
        for name in arguments.tables
    ]
    for name, dataset in zip(arguments.tables, tables, strict=True):
        _check_classes(arguments.path, name, dataset.labels(("is_gamma",))["is_gamma"])
        dataset.transform = functools.partial(inputs, channels=dataset.channel_names)
    torch.manual_seed(arguments.seed)
    if arguments.shuffle_labels:
        for number, dataset in enumerate(tables):
            dataset.transform = ShuffledLabels(dataset, (arguments.seed, number))
    training, validation, test = (
        dataset.as_torch(64, shuffle=dataset is tables[0], seed=arguments.seed) for dataset in tables
    )
    model = network(tables[0].image_shape[-1], 2 if arguments.energy else 1).to(memory_format=torch.channels_last)
    run = Training(model, training, arguments.epochs, arguments.checkpoint)
    while len(run.losses) < arguments.epochs:
        mean_loss = run.epoch()
        held_out, outputs, labels, _ = evaluate(model, validation)
        run.end_epoch(mean_loss, held_out)
        area = roc(outputs[:, 0], labels)[2]
        print(f"epoch {len(run.losses)}: loss {mean_loss:.3f}, validation {held_out:.3f}, AUC {area:.3f}", flush=True)
    if run.n_images:
        print(run.rates())
    _, outputs, labels, log10_energy = evaluate(model, test)
    if arguments.energy:
        error = (outputs[:, 1] - log10_energy)[labels > 0]
        print(
            f"log10 of energy, of {len(error)} images of gammas: off by {error.mean():.3f}, scatter {error.std():.3f}"
        )
    if arguments.save:
        torch.save(saved(model, tables[0]), arguments.save)
    return np.array(run.losses), roc(outputs[:, 0], labels)


#: What a forest learns from: all that ctapipe makes of an image.
PARAMETERS = [name for name, *_ in IMAGE_COLUMNS]


def train_on_parameters(arguments):
    """Train a random forest on image parameters; returns no losses, the ROC curve and its area."""
    from sklearn.ensemble import RandomForestClassifier

    features, labels = {}, {}
    random = np.random.default_rng(arguments.seed)
    for name in arguments.tables:
        with ImageDataset(arguments.path, table=name, telescopes=arguments.telescopes) as dataset:
            columns = dataset.labels(("is_gamma", *PARAMETERS))
        labels[name] = random.permutation(columns["is_gamma"]) if arguments.shuffle_labels else columns["is_gamma"]
        _check_classes(arguments.path, name, labels[name])
        # an image of which no pixel is left has no parameters
        features[name] = np.nan_to_num(np.column_stack([columns[column] for column in PARAMETERS]), nan=-1.0)
    training, _, test = arguments.tables
    forest = RandomForestClassifier(200, min_samples_leaf=3, n_jobs=-1, random_state=arguments.seed)
    forest.fit(features[training], labels[training])
    scores = forest.predict_proba(features[test])[:, 1]
    return np.zeros((0, 2)), roc(scores, labels[test])


def draw(path, losses, curve, title):
    """Draw the loss of each epoch and the ROC curve."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    false, true, area = curve
    n_panels = 2 if len(losses) else 1
    figure, panels = plt.subplots(1, n_panels, figsize=(4.5 * n_panels, 4), layout="constrained", squeeze=False)
    left, right = panels[0, 0], panels[0, -1]
    if len(losses):
        for values, name in zip(losses.T, ("training", "validation"), strict=True):
            left.plot(np.arange(len(values)) + 1, values, marker="o", label=name)
        left.set(xlabel="epoch", ylabel="cross entropy", ylim=(0, None), xticks=np.arange(len(losses)) + 1)
        left.legend()
    right.plot(false, true, label=f"AUC = {area:.3f}")
    right.plot([0, 1], [0, 1], color="grey", linestyle=":")
    right.set(xlabel="protons taken for gammas", ylabel="gammas taken for gammas", aspect="equal")
    right.legend(loc="lower right")
    figure.suptitle(title)
    figure.savefig(path, dpi=120)


def main():
    """Read the arguments, train, print and draw; returns the exit code."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", metavar="DATASET.h5")
    parser.add_argument("--telescopes", help="type, camera or ids (default: all; one camera)")
    parser.add_argument("--parameters", action="store_true", help="learn from image parameters, with a random forest")
    parser.add_argument("--energy", action="store_true", help="also learn the energy of gammas")
    parser.add_argument("--save", metavar="NETWORK.pt", help="keep the network for predict_demo.py")
    parser.add_argument("--checkpoint", metavar="TRAINING.pt", help="keep the training; if it is there, go on with it")
    parser.add_argument("--epochs", type=int, default=8, help="default: 8")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    parser.add_argument("--shuffle_labels", action="store_true", help="take the labels from the images")
    parser.add_argument("--plot", help="draw loss and ROC curve into this file")
    arguments = parser.parse_args()
    if arguments.parameters and (arguments.energy or arguments.save or arguments.checkpoint):
        parser.error("--energy, --save and --checkpoint go with a network, not with --parameters")
    start = time.monotonic()
    try:
        find_files(arguments.path)
        arguments.tables = ["Training", "Validation", "Test"]
        try:
            ImageDataset(arguments.path, "Test", telescopes=arguments.telescopes).close()
        except KeyError:
            arguments.tables[2] = "Validation"
        losses, curve = (train_on_parameters if arguments.parameters else train)(arguments)
    except (ConfigError, DatasetError) as err:
        print(f"ERROR: {err}", file=sys.stderr)
        return 2 if isinstance(err, ConfigError | KeyError) else 1  # wrong usage, or a bad input
    seconds = time.monotonic() - start
    print(f"{arguments.tables[2]}: AUC {curve[2]:.3f} after {seconds:.0f} s")
    if arguments.plot:
        labels = "shuffled labels" if arguments.shuffle_labels else "gammas and protons"
        learnt = "image parameters" if arguments.parameters else f"{arguments.epochs} epochs"
        draw(arguments.plot, losses, curve, f"{labels}, {learnt}, {seconds:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
