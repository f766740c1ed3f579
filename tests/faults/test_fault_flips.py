"""Bits that flip, and blocks that become zeros, in finished datasets and parts: each is found, or harms nobody.

What is found is what ``--check`` names. Harmless is what changes nothing that a reader returns: all nodes, their
attributes and rows, and all samples of the reader for training, are compared.
"""

import faulthandler
import functools
import itertools
import os
import pickle
import resource
import select
import signal
import warnings
from pathlib import Path

import numpy as np
import pytest
import tables
from helpers.faults.tally import Tally, chosen, seeded

from image_extractor import DatasetError, ImageExtractor
from image_extractor.batch import merge
from image_extractor.dataset import ImageDataset
from image_extractor.viewing.dataset_check import check_checksums

VARIANTS = list(itertools.product(("mapped", "all"), ("gh_class", "energy_recon"), ("none", "lz4", "zstd", "zlib")))
N_FLIPS, N_BLOCKS, N_PARTS = 10_000, 1_000, 2_000
BLOCK = 512

#: What a reader writes when it has found nothing wrong.
CHECKED = b"checked "

#: Bytes of memory, beside what the tests hold, and seconds that a reader of a damaged file may take.
MEMORY, SECONDS = 4 << 30, 60


@pytest.fixture(scope="module")
def datasets(small_runs, tmp_path_factory):
    """One dataset of each storage, mode and compression, shuffled; some split, some with image parameters."""
    folder = tmp_path_factory.mktemp("flips")
    return [convert(folder / f"{'_'.join(variant)}.h5", small_runs, *variant) for variant in VARIANTS]


def convert(path, files, storage, mode, compression, **settings):
    extractor = ImageExtractor(
        path, None, mode, storage_mode=storage, output_compression=compression, telescope_type_mode="SST",
        use_pkl_dict=False, image_scale_factor=1, image_mode="PIXELS_TIMING_2C", image_dtype="uint16",
        energy_bins_min=-3, energy_bins_max=4, energy_bins_bin_size=7, energy_recon_bins_min=-3,
        energy_recon_bins_max=4, parameters_store=compression == "lz4", **settings,
    )  # fmt: skip
    split = {"Training": 0.5, "Validation": 0.5} if compression == "zstd" else None
    extractor.process_files(files, jobs=1, seed=0, split=split)
    return path


def flipped(data, dice):
    """Return a file's bytes with one bit the other way, and where that is."""
    place, bit = dice.randrange(len(data)), dice.randrange(8)
    return data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :], f"byte {place} bit {bit}"


def zeroed(data, dice):
    """Return a file's bytes with a block of zeros that were none, and where that is."""
    while True:
        place = dice.randrange(-(-len(data) // BLOCK)) * BLOCK
        block = data[place : place + BLOCK]
        if any(block):
            return data[:place] + bytes(len(block)) + data[place + len(block) :], f"block at {place}"


def all_that_readers_return(path):
    """Return all nodes, attributes and rows of a dataset, and all its samples."""
    found = []
    with tables.open_file(str(path)) as file:
        for node in file.walk_nodes("/"):
            if not node._v_pathname.startswith("/Checksums"):
                attributes = [(name, repr(node._v_attrs[name])) for name in node._v_attrs._f_list("user")]
                rows = (node.dtype.descr, node[:].tobytes()) if isinstance(node, tables.Leaf) else ()
                found.append((node._v_pathname, attributes, rows))
        names = {table._v_name for table in file.walk_nodes("/", "Table") if table._v_name.startswith("Events")}
    for name in sorted(names):
        with ImageDataset(path, name, columns=("primary", "energy", "run_number", "event_number")) as dataset:
            samples = dataset[:]
            found.append((name, {key: values.tobytes() for key, values in samples.items()}))
    return found


def compared(path, expected):
    """Return how a damaged dataset fares that ``--check`` finds nothing wrong with, and why it is lost, if it is."""
    try:
        found = all_that_readers_return(path)
    except Exception as err:  # noqa: BLE001 - whatever it is, --check did not see it coming
        return "", f"all is well, but {type(err).__name__}: {err}"
    return ("harmless", "") if found == expected else ("", "all is well, but something else is read")


def in_a_fork(check, compare):
    """Return what `compare` returns of what `check` did, called in a process that may die of it.

    What `check` refuses is 'named', and so is what HDF5 dies of in it: ``--check`` calls it in a process of its own.
    """
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads, which wait for work
        child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            limit = MEMORY + int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
            faulthandler.disable()  # a reader that ends so is counted, not told
            warnings.filterwarnings("ignore", message="Unsupported type for attribute")  # as the commands do
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            checked = check()
            os.write(writing, CHECKED)
            answer = compare(checked)
        except DatasetError:
            answer = "named", ""
        except BaseException as err:  # noqa: BLE001
            answer = "", f"a traceback: {type(err).__name__}: {err}"
        os.write(writing, pickle.dumps((answer[0], answer[1][:1000])))  # at once: a pipe takes so much
        os._exit(0)
    os.close(writing)
    data, hangs = b"", False
    while not hangs:
        hangs = not select.select([reading], [], [], SECONDS)[0]
        more = b"" if hangs else os.read(reading, 1 << 20)
        data += more
        if not more:
            break
    if hangs:
        os.kill(child, signal.SIGKILL)
    os.close(reading)
    _, status = os.waitpid(child, 0)
    if hangs:
        return "", "it hung"
    answer = data.removeprefix(CHECKED)
    if answer:
        return pickle.loads(answer)
    if data:
        return "", f"all is well, but its reader dies by signal {os.WTERMSIG(status)}"
    return f"named: HDF5 crashes (signal {os.WTERMSIG(status)})", ""


def campaign(tally, cases, paths, damage, check, compare, seed):
    """Damage one file after the other, judge each, and put it right again."""
    whole = [path.read_bytes() for path in paths]
    for case in cases:
        dice, number = seeded(f"{seed} {case}"), case % len(paths)
        damaged, where = damage(whole[number], dice)
        paths[number].write_bytes(damaged)
        how, why = in_a_fork(functools.partial(check, number), functools.partial(compare, number))
        if why:
            tally.lost(f"{paths[number].name}: {where}", why)
        else:
            tally.survived(how)
        paths[number].write_bytes(whole[number])
    tally.finish()


@pytest.mark.parametrize(
    ("name", "damage", "n", "quick"),
    [("a flipped bit", flipped, N_FLIPS, 64), ("a block of zeros", zeroed, N_BLOCKS, 16)],
)
def test_damage_of_a_dataset_is_named_or_harmless(name, damage, n, quick, datasets, record_property):
    expected = [all_that_readers_return(path) for path in datasets]
    tally = Tally(record_property, f"datasets with {name}")
    campaign(
        tally, chosen(range(n), quick), datasets, damage,
        lambda number: check_checksums(datasets[number]),
        lambda number, _: compared(datasets[number], expected[number]), name,
    )  # fmt: skip


@pytest.fixture(scope="module")
def parts(small_runs, tmp_path_factory):
    """Parts: of each storage two, of the same settings."""
    from image_extractor.batch.tasks import Options

    folder = tmp_path_factory.mktemp("parts")
    found = []
    for storage in ("mapped", "all"):
        path = folder / f"{storage}.h5"
        extractor = ImageExtractor(
            path, None, "gh_class", storage_mode=storage, telescope_type_mode="SST", use_pkl_dict=False,
            image_scale_factor=1, energy_bins_min=-3, energy_bins_max=4, energy_bins_bin_size=7,
        )  # fmt: skip
        for number, file in enumerate(small_runs):
            part = folder / f"{storage}_{number}.h5"
            extractor.converter.convert(file, part, Options())
            found.append(part)
    return found


def test_damage_of_a_part_is_named_or_harmless(parts, tmp_path, record_property):
    """The merge refuses it, or writes what it would have written."""

    def merged(number):
        pair = parts[number // 2 * 2 : number // 2 * 2 + 2]
        target = tmp_path / f"{os.getpid()}.h5"
        try:
            merge.build(pair, target, tmp_path)
            return all_that_readers_return(target)
        finally:
            target.unlink(missing_ok=True)

    def compare(number, found):
        return ("harmless", "") if without_time(found) == expected[number] else ("", "merged to something else")

    expected = [without_time(merged(number)) for number in range(len(parts))]
    tally = Tally(record_property, "parts with a flipped bit")
    campaign(tally, chosen(range(N_PARTS), 24), parts, flipped, merged, compare, "parts")
    assert not list(tmp_path.glob("*.h5"))


def without_time(found):
    """Leave out the root's checksum, which is over the time, too."""
    (path, attributes, rows), *others = found
    return [(path, [entry for entry in attributes if entry[0] != "checksum"], rows), *others]


@pytest.mark.parametrize("storage", ["mapped", "all"])
@pytest.mark.parametrize("compression", ["none", "lz4"])
def test_a_changed_pixel_is_named_by_the_reader_for_training(storage, compression, small_runs, tmp_path):
    """Whatever pixel it is: with verify=True, and only then."""
    path = convert(tmp_path / "o.h5", small_runs, storage, "gh_class", compression)
    with tables.open_file(str(path), "a") as file:
        table = file.root.E0.Events
        if storage == "mapped":
            tel = int(np.flatnonzero(table[0]["tel_map"] >= 0)[0])
            file.get_node(f"/E0/T{tel + 1}")[table[0]["tel_map"][tel], 20, 20, 0] ^= 1
        else:
            tel = int(np.flatnonzero(table[0]["trig_list"])[0])
            rows = table[0:1]
            rows[f"T{tel + 1}"][0, 20, 20, 0] ^= 1
            table.modify_rows(0, rows=rows)
    with ImageDataset(path, "Events") as dataset:
        dataset[:]
    with pytest.raises(DatasetError, match=r"o\.h5: damaged: /E0/.*: rows? \d.*: not what was written"):
        ImageDataset(path, "Events", verify=True)[:]
