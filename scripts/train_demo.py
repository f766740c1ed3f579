#!/usr/bin/env python
"""Train a small convolutional network to tell gammas from protons, as an example and as a check of a dataset.

    train_demo.py DATASET.h5 [--plot train_demo.png] [--shuffle_labels]

DATASET holds gammas and protons, split into Training and Validation (and Test, where there is one). With
--shuffle_labels no image keeps its label: the area under the ROC curve must fall to 0.5, or something leaks.
Needs torch, and matplotlib for the plot.
"""

import argparse
import sys
import time

import numpy as np

try:
    import torch
    from torch import nn
    from torch.utils.data import DataLoader
except ModuleNotFoundError:
    sys.exit("train_demo.py needs torch: pip install torch")

from image_extractor.dataset import ImageDataset
from image_extractor.errors import ConfigError, DatasetError
from image_extractor.input_files import find_files
from image_extractor.terminal.arguments import Parser


def network(n_channels):
    """Return three convolutions, a maximum over the image, and a linear layer."""
    layers, n_in = [], n_channels
    for n_out, size, stride in ((16, 5, 2), (32, 3, 1), (64, 3, 1)):
        layers += [nn.Conv2d(n_in, n_out, size, stride, padding=1), nn.BatchNorm2d(n_out), nn.ReLU(), nn.MaxPool2d(2)]
        n_in = n_out
    return nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(n_in, 1))


SAMPLE = ("obs_id", "event_id", "primary", "tel_id")


def inputs(batch):
    """The transform of a batch: charges compressed, times from the pulses' mean, where there is light."""
    image = batch["image"]
    light = np.clip(image[..., 0], 0, None)
    if image.shape[-1] > 1:
        bright = light * (light > 5)
        mean = (bright * image[..., 1]).sum((1, 2)) / np.maximum(bright.sum((1, 2)), 1e-3)
        image[..., 1] = np.where(light > 5, np.clip((image[..., 1] - mean[:, None, None]) / 5, -3, 3), 0)
    image[..., 0] = np.log1p(light / 5)
    return batch


class ShuffledLabels:
    """The same transform, with the labels of the whole table dealt out anew among its images."""

    def __init__(self, dataset, seed):
        labels = np.random.default_rng(seed).permutation(dataset.labels(("is_gamma",))["is_gamma"])
        self._labels = dict(zip(self._samples(dataset.labels(SAMPLE)), labels, strict=True))

    @staticmethod
    def _samples(columns):
        return zip(*(columns[name].tolist() for name in SAMPLE), strict=True)

    def __call__(self, batch):
        """Change image and label of a batch."""
        return inputs(batch) | {"is_gamma": np.array([self._labels[sample] for sample in self._samples(batch)])}


def roc(scores, labels):
    """Return false and true positive rates, and the area under the curve (ties count half)."""
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    gammas = np.cumsum(labels[order])[last]
    true, false = np.append(0, gammas / gammas[-1]), np.append(0, (last + 1 - gammas) / (last + 1 - gammas)[-1])
    return false, true, float(((true[1:] + true[:-1]) / 2 * np.diff(false)).sum())


def evaluate(model, batches):
    """Return the mean loss, scores and labels of a dataset."""
    model.eval()
    scores, labels = [], []
    with torch.no_grad():
        for batch in DataLoader(batches, batch_size=None):
            scores.append(model(batch["image"])[:, 0])
            labels.append(batch["is_gamma"].float())
    scores, labels = torch.cat(scores), torch.cat(labels)
    return float(nn.functional.binary_cross_entropy_with_logits(scores, labels)), scores.numpy(), labels.numpy()


def _check_classes(path, table, labels):
    """Raise DatasetError unless there is something to tell apart."""
    n_gammas, n_others = int(labels.sum()), int((1 - labels).sum())
    if not (n_gammas and n_others):
        counts = f"{n_gammas} images of gammas and {n_others} of others"
        raise DatasetError(f"{path}: {table} has {counts}: both are needed to learn what tells them apart")


def train(arguments):
    """Train and test; returns the losses of each epoch, the ROC curve and its area."""
    tables = [
        ImageDataset(
            arguments.path, table=name, telescopes=arguments.telescopes, columns=("is_gamma", *SAMPLE), transform=inputs
        )
        for name in arguments.tables
    ]
    for name, dataset in zip(arguments.tables, tables, strict=True):
        _check_classes(arguments.path, name, dataset.labels(("is_gamma",))["is_gamma"])
    torch.manual_seed(arguments.seed)
    if arguments.shuffle_labels:
        for number, dataset in enumerate(tables):
            dataset.transform = ShuffledLabels(dataset, (arguments.seed, number))
    training, validation, test = (
        dataset.as_torch(64, shuffle=dataset is tables[0], seed=arguments.seed) for dataset in tables
    )
    model = network(tables[0].image_shape[-1]).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-2)
    n_steps = arguments.epochs * (len(tables[0]) // 64 + 1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=n_steps)
    losses = []
    for epoch in range(arguments.epochs):
        model.train()
        training.set_epoch(epoch)
        epoch_losses = []
        for batch in DataLoader(training, batch_size=None):
            loss = nn.functional.binary_cross_entropy_with_logits(
                model(batch["image"])[:, 0], batch["is_gamma"].float()
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            epoch_losses.append(loss.item())
        held_out, scores, labels = evaluate(model, validation)
        losses.append((np.mean(epoch_losses), held_out))
        print(
            f"epoch {epoch + 1}: loss {losses[-1][0]:.3f}, validation {held_out:.3f}, AUC {roc(scores, labels)[2]:.3f}"
        )
    _, scores, labels = evaluate(model, test)
    return np.array(losses), roc(scores, labels)


def draw(path, losses, curve, title):
    """Draw the loss of each epoch and the ROC curve."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    false, true, area = curve
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
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
    parser.add_argument("--epochs", type=int, default=8, help="default: 8")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    parser.add_argument("--shuffle_labels", action="store_true", help="take the labels from the images")
    parser.add_argument("--plot", help="draw loss and ROC curve into this file")
    arguments = parser.parse_args()
    start = time.monotonic()
    try:
        find_files(arguments.path)
        arguments.tables = ["Training", "Validation", "Test"]
        try:
            ImageDataset(arguments.path, "Test", telescopes=arguments.telescopes).close()
        except KeyError:
            arguments.tables[2] = "Validation"
        losses, curve = train(arguments)
    except (ConfigError, DatasetError) as err:
        print(f"ERROR: {err}", file=sys.stderr)
        return 2 if isinstance(err, ConfigError | KeyError) else 1  # wrong usage, or a bad input
    seconds = time.monotonic() - start
    print(f"{arguments.tables[2]}: AUC {curve[2]:.3f} after {seconds:.0f} s")
    if arguments.plot:
        labels = "shuffled labels" if arguments.shuffle_labels else "gammas and protons"
        draw(arguments.plot, losses, curve, f"{labels}, {arguments.epochs} epochs, {seconds:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
