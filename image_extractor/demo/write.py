"""Make a synthetic sim_telarray file: showers, images and traces as a learner, a newcomer or a test needs them.

python -m image_extractor.demo OUT.simtel.gz --events 100 --primary gamma
"""

import errno
import gzip
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfileobj
from typing import IO, TYPE_CHECKING, Any, TypeVar

from .. import whole_files
from ..errors import ConfigError

if TYPE_CHECKING:
    from .production import Summary

Number = TypeVar("Number", int, float)

TELESCOPES = "LST:4,MSTN:6,MSTF:3,SCT:5,SSTC:4"
SETTINGS: dict[str, Any] = {  # names and defaults of the settings
    "events": 100,
    "telescopes": TELESCOPES,
    "primary": "gamma",
    "energy": "0.05,50",
    "spectral_index": -2.0,
    "run": 1,
    "seed": 0,
    "reuse": 1,
    "offset": 0.5,
    "view_cone": None,
    "scatter": 350.0,
}
DIFFUSE_VIEW_CONE = 2.0  # deg, where only gammas come from a point: as far as the smallest field of view reaches
MAX_TELESCOPES, MAX_REUSE = 500, 100
MAX_EVENTS, MAX_RUN = 100_000, 2**31 - 1  # event numbers have 32 bits, and there may be 200 showers for an event
ENERGY_LIMITS = (0.001, 1000.0)  # TeV


@dataclass(frozen=True)
class Settings:
    """The checked settings of a file, see `write_demo_file`."""

    events: int
    telescopes: dict[str, int]
    primary: str
    energy: tuple[float, float]
    spectral_index: float
    run: int
    seed: int
    reuse: int
    offset: float
    view_cone: float
    scatter: float


def write_demo_file(path: str | Path, **settings: Any) -> "Summary":
    """Write a sim_telarray file of synthetic showers; .gz and .zst are compressed, every other suffix is plain.

    The file appears under its name when it is complete, not before. The same settings give the same bytes.

    Parameters
    ----------
    path : str or Path
    events : int
        Triggered events in the file (100). Showers are simulated until there are so many; those that do not trigger
        are in the file as well, without images. The last shower is used to the end, so reuse may give a few more.
    telescopes : str or dict
        Number of telescopes of each type, "LST:4,MSTN:6" or {"LST": 4, "MSTN": 6}; ids count from 1 in this order.
        Types: LST (LSTCam), MSTN (NectarCam), MSTF (FlashCam), SCT (SCTCam), SSTC (CHEC), SSTA (ASTRICam),
        SSTD (DigiCam).
    primary : str
        gamma, proton, electron or helium.
    energy : str or (float, float)
        Range of energies in TeV, "0.05,50".
    spectral_index : float
        Energies follow E^spectral_index (-2).
    run, seed : int
        Run number (1), and seed of the random numbers (0); other runs and primaries are other showers.
    reuse : int
        Uses of each shower with another core (1); the event number is 100 * shower + use.
    offset : float
        Distance of a point source from the pointing, deg (0.5).
    view_cone : float, optional
        Radius of the cone around the pointing from which showers come, deg: 0 (a point source) for gammas, else 2.
    scatter : float
        Largest distance of the core from the centre of the array, m (350).

    Returns
    -------
    production.Summary
        Numbers of events, showers and images.

    Raises
    ------
    ConfigError
        A setting that can't be used, or showers that do not trigger.
    OSError
        The file can't be written.
    """
    checked = check_settings(**settings)
    from .production import Production

    path = Path(path)
    production = Production(checked)
    # The header tells the number of showers, which is known only at the end.
    with _complete_or_absent(path) as output, tempfile.TemporaryFile(dir=path.parent) as events:
        for event_bytes in production.events():
            events.write(event_bytes)
        events.seek(0)
        output.write(production.header())
        copyfileobj(events, output, 1 << 20)
        output.write(production.footer())
    summary: Summary = production.summary
    return summary


def check_settings(**settings: Any) -> Settings:
    """Return checked settings of what a user gave; everything that is not given has its default.

    Parameters
    ----------
    **settings
        As for :func:`write_demo_file`.

    Raises
    ------
    ConfigError
        For a name that is none, or a value that can't be used.
    """
    unknown = sorted(set(settings) - set(SETTINGS))
    if unknown:
        raise ConfigError(f"unknown setting {unknown[0]!r}; there are: {', '.join(SETTINGS)}")
    given = SETTINGS | settings
    from .showers import PRIMARIES

    primary = given["primary"]
    if primary not in PRIMARIES:
        raise ConfigError(f"primary {primary!r} is not known; there are: {', '.join(PRIMARIES)}")
    view_cone = given["view_cone"]
    if view_cone is None:
        view_cone = 0.0 if primary == "gamma" else DIFFUSE_VIEW_CONE
    return Settings(
        events=_number("events", given["events"], int, 1, MAX_EVENTS),
        telescopes=_telescopes(given["telescopes"]),
        primary=primary,
        energy=_energy_range(given["energy"]),
        spectral_index=_number("spectral_index", given["spectral_index"], float, -10, 10),
        run=_number("run", given["run"], int, 1, MAX_RUN),
        seed=_number("seed", given["seed"], int, 0, 2**63 - 1),
        reuse=_number("reuse", given["reuse"], int, 1, MAX_REUSE),
        offset=_number("offset", given["offset"], float, 0, 10),
        view_cone=_number("view_cone", view_cone, float, 0, 10),
        scatter=_number("scatter", given["scatter"], float, 0, 3000),
    )


def _number(name: str, value: Any, kind: type[Number], low: float, high: float) -> Number:
    try:
        number = kind(value)
        exact = number == float(value)
    except (TypeError, ValueError, OverflowError):
        exact = False
    if not exact or not low <= number <= high:
        what = "a whole number" if kind is int else "a number"
        raise ConfigError(f"{name}: {value!r} is not {what} from {low} to {high}")
    return number


def _energy_range(energy: Any) -> tuple[float, float]:
    low_and_high = energy.split(",") if isinstance(energy, str) else list(energy)
    if len(low_and_high) != 2:
        raise ConfigError(f"energy: {energy!r} is not two energies in TeV, such as 0.05,50")
    low, high = (_number("energy", value, float, *ENERGY_LIMITS) for value in low_and_high)
    if low > high:
        raise ConfigError(f"energy: {energy!r} goes from the higher to the lower energy")
    return low, high


def _telescopes(telescopes: Any) -> dict[str, int]:
    from .cameras import CAMERAS

    pairs: Iterable[tuple[str, Any]]
    pairs = telescopes.items() if isinstance(telescopes, dict) else _type_and_number(telescopes)
    counts: dict[str, int] = {}
    for tel_type, number in pairs:
        if tel_type not in CAMERAS:
            raise ConfigError(f"telescopes: type {tel_type!r} is not known; there are: {', '.join(CAMERAS)}")
        if tel_type in counts:
            raise ConfigError(f"telescopes: type {tel_type} is there twice")
        counts[tel_type] = _number(f"telescopes: number of {tel_type}", number, int, 1, MAX_TELESCOPES)
    if not 1 <= sum(counts.values()) <= MAX_TELESCOPES:
        raise ConfigError(f"telescopes: {sum(counts.values())} telescopes; a file takes from 1 to {MAX_TELESCOPES}")
    return counts


def _type_and_number(text: object) -> Iterator[tuple[str, str]]:
    for item in str(text).split(","):
        tel_type, colon, number = item.strip().partition(":")
        if not colon:
            raise ConfigError(f"telescopes: {item!r} is not a type and a number, such as LST:4")
        yield tel_type, number


@contextmanager
def _complete_or_absent(path: Path) -> Iterator[IO[bytes]]:
    """A stream to write `path` with, compressed by suffix; it takes its name only after all bytes are on the disk."""
    if path.exists() and not path.is_file():  # never replace a device such as /dev/null
        raise OSError(errno.EINVAL, "is not a regular file", str(path))
    with (
        whole_files.whole(path) as temporary,
        temporary.open("wb") as raw,
        _compressor(raw, path.suffix) as output,
    ):
        yield output


@contextmanager
def _compressor(raw: IO[bytes], suffix: str) -> Iterator[Any]:
    if suffix == ".gz":  # neither name nor time in the header: same settings, same bytes
        with gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=raw, mtime=0) as stream:
            yield stream
    elif suffix == ".zst":
        import zstandard

        with zstandard.ZstdCompressor(level=3).stream_writer(raw, closefd=False) as stream:
            yield stream
    else:
        yield raw
