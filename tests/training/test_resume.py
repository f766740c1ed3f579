"""Epochs that are interrupted and gone on with: by as many processes as one likes, each sample is seen once."""

import importlib.util
import itertools
import json
import random

import numpy as np
import pytest
from helpers.marks import quick_and_slow
from helpers.random_dataset import keys_of, write_dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from image_extractor.dataset import ImageDataset

HAS_TORCH = importlib.util.find_spec("torch") is not None
HAS_TORCHDATA = importlib.util.find_spec("torchdata") is not None
HAS_TF = importlib.util.find_spec("tensorflow") is not None

OPTIONS = {"seed": 3, "block": 8, "buffer": 24}
SHUFFLES = [False, True, "blocks"]


@pytest.fixture(scope="module")
def dataset(mapped_path):
    with ImageDataset(mapped_path, table="Events") as opened:
        yield opened


def keys(batches):
    return [keys_of(batch) for batch in batches]


def flat(batches):
    return list(itertools.chain.from_iterable(batches))


def together(dataset, world_size, batch_size, state=None, **options):
    """Return the batches of all ranks, in turns: what a training sees, round by round."""
    ranks = [dataset.batches(batch_size, rank=rank, world_size=world_size, **options) for rank in range(world_size)]
    if state:
        for batches in ranks:
            batches.load_state_dict(state)
    rounds = itertools.zip_longest(*map(keys, ranks))
    return [batch for one in rounds for batch in one if batch is not None]


@pytest.mark.parametrize("shuffle", SHUFFLES)
@pytest.mark.parametrize("world_size", [2, 4, 8])
def test_the_order_is_the_same_whatever_the_number_of_ranks(dataset, shuffle, world_size):
    alone = keys(dataset.batches(5, shuffle=shuffle, epoch=2, **OPTIONS))
    assert together(dataset, world_size, 5, shuffle=shuffle, epoch=2, **OPTIONS) == alone


@pytest.mark.parametrize("shuffle", SHUFFLES)
def test_what_comes_after_50_interruptions_is_what_would_have_come(dataset, shuffle):
    dice = random.Random(1)
    for _ in range(50):
        epoch, size = dice.randrange(5), dice.choice([1, 3, 5, 8])
        options = {"shuffle": shuffle, **OPTIONS}
        whole = keys(dataset.batches(size, epoch=epoch, **options))
        n = dice.randrange(len(whole) + 1)
        begun = dataset.batches(size, epoch=epoch, **options)
        seen = keys(itertools.islice(begun, n))
        state = json.loads(json.dumps(begun.state_dict()))
        resumed = dataset.batches(size, **options)
        resumed.load_state_dict(state)
        assert seen + keys(resumed) == whole
        assert resumed.state_dict()["epoch"] == epoch


@settings(max_examples=40, deadline=None)
@given(
    shuffle=st.sampled_from(SHUFFLES),
    worlds=st.lists(st.sampled_from([1, 2, 4, 8]), min_size=1, max_size=3),
    sizes=st.lists(st.integers(1, 9), min_size=3, max_size=3),
    n_rounds=st.lists(st.integers(0, 4), min_size=3, max_size=3),
    drop_last=st.booleans(),
)
def test_other_ranks_and_batches_go_on_in_the_same_order(dataset, shuffle, worlds, sizes, n_rounds, drop_last):
    """Begun on 1, gone on with on 4, and so on: all that is seen, one after the other, is the order of the epoch."""
    options = {"shuffle": shuffle, "epoch": 1, "drop_last": drop_last, **OPTIONS}
    order, seen, state = flat(keys(dataset.batches(1, **options))), [], None
    for world_size, size, n in zip(worlds, sizes, n_rounds, strict=False):
        left = (len(order) - len(seen)) // (size * world_size)
        ranks = [dataset.batches(size, rank=rank, world_size=world_size, **options) for rank in range(world_size)]
        for batches in ranks:
            if state:
                batches.load_state_dict(state)
        for _ in range(min(n, left)):
            for batches in ranks:
                seen += keys_of(next(batches))
        state = ranks[-1].state_dict()
    assert seen + flat(together(dataset, 2, 1, state, **options | {"drop_last": False})) == order


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_with_drop_last_all_ranks_have_as_many_batches(dataset, world_size):
    ranks = [
        keys(dataset.batches(7, shuffle=True, rank=rank, world_size=world_size, drop_last=True))
        for rank in range(world_size)
    ]
    assert {len(batches) for batches in ranks} == {len(dataset) // (7 * world_size)}
    assert {len(batch) for batches in ranks for batch in batches} == {7}


def test_states_of_something_else_are_refused(dataset, tmp_path):
    state = dataset.batches(4, shuffle=True, seed=1).state_dict()
    for other, name in (
        (dataset.batches(4, shuffle=True, seed=2), "seed = 1"),
        (dataset.batches(4, shuffle="blocks", seed=1), "shuffle = random"),
        (dataset.select(slice(1, None)).batches(4, shuffle=True, seed=1), "samples = "),
        (dataset.select(np.arange(len(dataset))[::-1]).batches(4, shuffle=True, seed=1), "which = "),
    ):
        with pytest.raises(ValueError, match=f"this state has {name}"):
            other.load_state_dict(state)
    same = write_dataset(tmp_path / "same.h5")
    with ImageDataset(same, table="Events") as again:
        again.batches(4, shuffle=True, seed=1).load_state_dict(state)


@pytest.mark.parametrize("share", [{"rank": 1}, {"rank": -1, "world_size": 2}, {"worker": (2, 2)}])
def test_a_rank_that_is_not_there_is_refused(dataset, share):
    with pytest.raises(ValueError, match="must be from 0 to"):
        dataset.batches(4, **share)


# -- frameworks -----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not HAS_TORCH, reason="torch is not installed")
@pytest.mark.parametrize("workers", [0, 2, 3])
@pytest.mark.parametrize("persistent", quick_and_slow([False, True], False))
def test_data_loader_goes_on(dataset, workers, persistent):
    from torch.utils.data import DataLoader

    if persistent and not workers:
        pytest.skip("no workers to live on")
    options = {"shuffle": True, **OPTIONS}

    def loader():
        batches = dataset.as_torch(6, **options)
        return batches, DataLoader(batches, batch_size=None, num_workers=workers, persistent_workers=persistent)

    batches, whole = loader()
    expected = []
    for epoch in range(3):
        batches.set_epoch(epoch)
        expected.append(keys(whole))
    batches, begun = loader()
    batches.set_epoch(1)
    seen = keys(itertools.islice(begun, 4))
    state = batches.state_dict(4)
    batches, resumed = loader()
    batches.load_state_dict(state)
    batches.set_epoch(1)
    assert seen + keys(resumed) == expected[1]
    assert keys(resumed) == expected[1], "the rest of an epoch comes once"
    batches.set_epoch(2)
    assert keys(resumed) == expected[2]


@pytest.mark.skipif(not HAS_TORCHDATA, reason="torchdata is not installed")
@pytest.mark.parametrize("workers", [0, 2, 3])
@pytest.mark.parametrize("shuffle", quick_and_slow(SHUFFLES, True))
def test_stateful_data_loader_goes_on(dataset, workers, shuffle):
    from torchdata.stateful_dataloader import StatefulDataLoader

    def loader():
        batches = dataset.as_torch(6, shuffle=shuffle, **OPTIONS)
        return batches, StatefulDataLoader(batches, batch_size=None, num_workers=workers)

    expected = keys(dataset.batches(6, shuffle=shuffle, epoch=1, **OPTIONS))
    for n in (0, 1, 5, len(expected) - 1):
        batches, begun = loader()
        batches.set_epoch(1)
        iterator = iter(begun)
        seen = keys(itertools.islice(iterator, n))
        state = begun.state_dict()
        del iterator
        _, resumed = loader()
        resumed.load_state_dict(state)
        assert seen + keys(resumed) == expected


@pytest.mark.skipif(not HAS_TF, reason="TensorFlow is not installed")
def test_tf_dataset_goes_on(dataset):
    expected = [keys(dataset.batches(6, shuffle=True, seed=3, epoch=epoch)) for epoch in range(3)]
    begun = dataset.as_tf(6, shuffle=True, seed=3, epoch=1)
    seen = [keys_of({name: value.numpy() for name, value in batch.items()}) for batch in begun.take(4)]
    resumed = dataset.as_tf(6, shuffle=True, seed=3)
    resumed.load_state_dict(begun.state_dict(4))
    for before, epoch in ((seen, 1), ([], 2)):
        batches = [{name: value.numpy() for name, value in batch.items()} for batch in resumed]
        assert before + keys(batches) == expected[epoch]
