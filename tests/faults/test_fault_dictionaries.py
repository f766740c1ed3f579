"""Hostile dictionaries and configurations: refused with one line, in bounded memory and time, nothing run."""

import os
import pickle
import resource
import struct

import numpy as np
import pytest
from helpers.faults.tally import Tally, chosen, seeded

from image_extractor import config
from image_extractor.cuts import dictionary
from image_extractor.errors import ConfigError


class Runs:
    def __init__(self, function, *arguments):
        self._call = function, arguments

    def __reduce__(self):
        return self._call


def nested(opcode, n=200_000):
    return b"\x80\x04}" + b")" + opcode * n + b"K\x01s."


#: Pickles that ask for what no dictionary needs.
HOSTILE = {
    "memo index of 2^28, binary": b"\x80\x04}r" + struct.pack("<I", 0x0FFFFFFF) + b".",
    "memo index of 2^32, binary": b"\x80\x04}r" + struct.pack("<I", 0xFFFFFFF0) + b".",
    "memo index as text": b"}p9999999999\n.",
    "string of 2^60": b"\x80\x04\x8d" + struct.pack("<Q", 1 << 60) + b"x.",
    "bytes of 2^40": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b"x.",
    "bytearray of 2^33": b"\x80\x05\x96" + struct.pack("<Q", 1 << 33) + b"x.",
    "frame of 2^40": b"\x80\x04\x95" + struct.pack("<Q", 1 << 40) + b"}.",
    "integer of 2^31 bytes": b"\x80\x04\x8b" + struct.pack("<i", 0x7FFFFFFF) + b"x.",
    "integer of millions of digits": b"}L" + b"9" * 3_000_000 + b"L\nK\x01s.",
    "tuples nested as a key": nested(b"\x85"),
    "lists nested as a value": b"\x80\x04}K\x01" + b"]" * 200_000 + b"a" * 199_999 + b"s.",
    "tuple of tuples, doubled 40 times": b"\x80\x04})" + b"2\x86" * 40 + b"K\x01s.",
    "millions of marks": b"(" * 3_000_000 + b".",
    "persistent id": b"Pfoo\n.",
    "extension": b"\x80\x04\x82\x01.",
    "buffer out of band": b"\x80\x05\x97.",
    "protocol 255": b"\x80\xff}.",
    "nothing": b"",
    "text": b"run event bin energy\n",
}


def calls(mark):
    """Return what unpickling would run or build; `mark` is a file that must not appear."""
    return {
        "os.system": Runs(os.system, f"touch {mark}"),
        "eval": Runs(eval, f"open({str(mark)!r}, 'w')"),
        "array": np.zeros((2, 2)),
        "object array": np.array([{}, None], object),
        "reconstruct": Runs(np._core.multiarray._reconstruct, np.ndarray, (1 << 40,), b"d"),
        "scalar of objects": Runs(np._core.multiarray.scalar, np.dtype("O"), b"12345678"),
        "frombuffer": Runs(np.frombuffer, b"12345678"),
    }


def refused(path):
    with pytest.raises(ConfigError) as caught:
        dictionary.load(path)
    return str(caught.value)


def test_hostile_pickles(tmp_path, record_property):
    tally = Tally(record_property, "hostile pickles")
    path, mark = tmp_path / "cuts.pkl", tmp_path / "mark"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cases = dict(HOSTILE)
    for name, call in calls(mark).items():
        for protocol in range(6):
            cases[f"{name}, protocol {protocol}"] = pickle.dumps({(1, 1): (0, call)}, protocol)
    for name, data in chosen(cases.items(), 24):
        path.write_bytes(data)
        try:
            message = refused(path)
        except pytest.fail.Exception:
            tally.lost(name, "it was read")
            continue
        if "\n" in message or str(path) not in message or len(message) > 600:
            tally.lost(name, message)
        elif mark.exists():
            tally.lost(name, "it was run")
        else:
            tally.survived("refused in one line")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10  # kB: it was another process
    tally.finish()


@pytest.mark.parametrize("protocol", range(6))
def test_truncated_pickles(protocol, tmp_path, record_property):
    entries = {(run, event): (event % 3, 0.5 * event) for run in range(5) for event in range(50)}
    data = pickle.dumps(entries, protocol)
    (tmp_path / "whole.pkl").write_bytes(data)
    assert dictionary.load(tmp_path / "whole.pkl") == entries
    tally, dice = Tally(record_property, f"truncated pickles, protocol {protocol}"), seeded(protocol)
    for size in chosen([dice.randrange(len(data)) for _ in range(50)], 2):
        path = tmp_path / "cut.pkl"
        path.write_bytes(data[:size])
        message = refused(path)
        if "\n" in message or str(path) not in message:
            tally.lost(size, message)
        else:
            tally.survived("refused in one line")
    tally.finish()


@pytest.mark.parametrize(
    "entries",
    [{(2**70, 1): (0, 1.0)}, {(1, 1): (2**31, 1.0)}, {(1, 1): (0, 10**400)}, {(1, 10**5000): (0, 1.0)}],
    ids=["run", "bin", "energy", "digits"],
)
def test_numbers_that_no_dataset_holds(entries, tmp_path):
    (tmp_path / "cuts.pkl").write_bytes(pickle.dumps(entries))
    assert "must be" in refused(tmp_path / "cuts.pkl")


CONFIGS = {
    "utf-16": "mode = gh_class\n".encode("utf-16"),
    "latin-1": "# \xe9t\xe9\n".encode("latin-1"),
    "zero bytes": b"mode = gh_class\0\n",
    "binary": bytes(range(256)),
    "interpolation": b"mode = %(HOME)s\n",
    "interpolation of itself": b"[image]\nmode = ${mode}\n",
    "huge number": b"[energy_bins]\nmax = 1e400\n",
    "not a number": b"[energy_bins]\nmax = nan\n",
    "huge number of bins": b"[energy_bins]\nmin = -1e300\nmax = 1e300\nbin_size = 1e-300\n",
    "many digits": b"[image]\nscale_factor = " + b"9" * 10_000 + b"\n",
    "doubled section": b"[image]\nmode = PIXELS_1C\n[image]\nmode = PIXELS_1C\n",
    "doubled key": b"mode = gh_class\nmode = gh_class\n",
    "many bins": b"[energy_bins]\nmin = 0\nmax = 1000000\nbin_size = 0.001\n",
    "deep sections": b"".join(b"[" * n + b"a" + b"]" * n + b"\n" for n in range(1, 500)),
    "telescope of 2^70": b"[telescope]\ntel_ids = 1180591620717411303424,\n",
    "unclosed quote": b"mode = 'gh_class\n",
    "unrepr": b"mode = __import__('os').system('true')\n",
}


@pytest.mark.parametrize("name", CONFIGS)
def test_hostile_configs(name, tmp_path):
    path = tmp_path / "a.config"
    path.write_bytes(CONFIGS[name])
    with pytest.raises(ConfigError) as caught:
        config.load(path)
    lines = str(caught.value).splitlines()
    assert len(lines) == 1, lines
    assert str(path) in lines[0]
    assert len(lines[0]) < 500
