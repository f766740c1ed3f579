"""Every write, truncation, flush, rename and removal on the way fails, or is the last thing the run does."""

import errno
import re
import shutil

import pytest
from helpers.faults.harness import COUNT, FAIL_FROM, FAIL_ONCE, KILL, judge
from helpers.faults.tally import IS_LONG, Tally, chosen
from helpers.marks import quick_and_slow
from helpers.reading import content

ACTIONS = {"fails once": FAIL_ONCE, "fails from there on": FAIL_FROM, "kills": KILL}
VARIANTS = [("mapped", "zstd"), ("all", "none"), ("mapped", "none")]

#: Rows are shuffled by way of the disk, as those of large tables are, although there are few.
BY_DISK = {
    "batch.table_passes.BLOCK_BYTES": 300,
    "hdf5.nodes.COPY_BYTES": 300,
    "hdf5.dataset_files.CHUNK_CACHE_BYTES": 0,
}


@pytest.fixture(params=["afresh", "append"])
def goal(request):
    return request.param


@pytest.mark.parametrize(("storage", "compression"), VARIANTS)
@pytest.mark.parametrize("action", quick_and_slow(ACTIONS, "fails once", "kills"))
def test_every_step(action, storage, compression, goal, server, small_runs, make_config, tmp_path, record_property):
    """OUTPUT is what it was or what it was to be; one line says what happened; the same command finishes the work."""
    if not IS_LONG and (storage, compression) != VARIANTS[0]:
        pytest.skip("in the long part only")
    config = make_config(
        storage_mode=storage, output_compression=compression, telescope_type_mode="SST", image_scale_factor=1
    )
    start, folder, output = tmp_path / "start", tmp_path / "out", tmp_path / "out" / "dataset.h5"
    options = "--shuffle", "--split"
    start.mkdir()
    if goal == "append":
        assert server.run([small_runs[0], start / "dataset.h5", config, *options], folder).code == 0
    arguments = [small_runs[0].parent / "*", output, config, *options]

    patches = BY_DISK if (storage, compression) == VARIANTS[0] else {}

    def disturbed(at, kind, number=errno.ENOSPC):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(start, folder)
        return server.run(arguments, folder, at=at, action=kind, number=number, patches=patches)

    n_steps = len(disturbed(0, COUNT).steps)
    new = content(output)
    old = content(start / "dataset.h5") if goal == "append" else None
    tally, finished = Tally(record_property, f"{action}, {goal}, {storage}, {compression}"), set()
    for at in chosen(range(1, n_steps + 1), 4):
        number = errno.ENOSPC if at % 2 else errno.EIO
        ended = disturbed(at, ACTIONS[action], number)
        why = judge(ended, output, old, new, action)
        if not why and (left := leftovers(folder)) not in finished:
            finished.add(left)
            again = server.run(arguments, folder, patches=patches)
            why = "" if again.code == 0 and content(output) == new else f"not finished by the same command: {again}"
            if not why and list(folder.iterdir()) != [output]:
                why = f"left behind: {sorted(path.name for path in folder.iterdir())}"
        if why:
            tally.lost(f"step {at}, {ended.steps[at - 1 :][:1]}", why)
        else:
            tally.survived("without harm" if ended.code == 0 else "killed" if ended.code == -9 else "in one line")
    tally.finish()


def leftovers(folder):
    """Return all that the next run goes by: names and sizes, of temporary files, which are never read, their kind."""
    return frozenset(
        (re.sub(r"[0-9a-f]{8}\.\d+", "", str(path.relative_to(folder))), path.suffix != ".tmp" and path.stat().st_size)
        for path in folder.glob("**/*")
    )


def test_limit_of_file_size(server, small_runs, make_config, tmp_path, record_property):
    """RLIMIT_FSIZE, as a quota has it."""
    config = make_config(telescope_type_mode="SST", storage_mode="mapped", output_compression="none")
    folder, output = tmp_path / "out", tmp_path / "out" / "o.h5"
    arguments = [small_runs[0], output, config]
    folder.mkdir()
    assert server.run(arguments, folder).code == 0
    new, largest = content(output), output.stat().st_size
    tally = Tally(record_property, "RLIMIT_FSIZE")
    for limit in chosen([largest * (i + 1) // 60 for i in range(64)], 4):
        output.unlink(missing_ok=True)
        ended = server.run(arguments, folder, limits={"RLIMIT_FSIZE": limit})
        why = judge(ended, output, None, new, "fails once")
        if why:
            tally.lost(limit, why)
        else:
            tally.survived("in one line" if ended.code else "it was enough")
    tally.finish()
