"""How many disturbances were tried, survived and lost: collected by tests, printed at the end (pytest -p tally).

``python -m helpers.faults.tally FILE`` prints what several runs of the tests have noted in a file.
"""

import json
import os
import random
import sys
from collections import Counter
from pathlib import Path

#: Cases of each campaign: a few in the normal run of the tests, all of them in scripts/fault_tests.sh.
LIMIT = int(os.environ.get("FAULT_TESTS_LIMIT", "0"))
IS_LONG = bool(os.environ.get("FAULT_TESTS_LONG"))

#: Where the tallies of this run are noted, a line of JSON each.
NOTES = os.environ.get("FAULT_TESTS_NOTES")

#: Chooses other cases, and other random numbers in them.
SEED = os.environ.get("FAULT_TESTS_SEED", "")


def seeded(seed):
    """Return the random numbers of a campaign."""
    return random.Random(f"{SEED} {seed}" if SEED else seed)


def chosen(cases, quick):
    """Return the cases to try: all, or as many as asked for, spread evenly over them; with a SEED at random."""
    cases = list(cases)
    n = LIMIT or (len(cases) if IS_LONG else quick)
    if SEED and n < len(cases):
        return [cases[i] for i in sorted(seeded(len(cases)).sample(range(len(cases)), n))]
    return cases if n >= len(cases) else [cases[i * len(cases) // n] for i in range(n)]


class Tally:
    """Counts what became of the cases of one campaign; a loss is told at once and fails the test at its end."""

    def __init__(self, record_property, name):
        self._record, self._name = record_property, name
        self._outcomes, self._losses = Counter(), []

    def survived(self, how):
        self._outcomes[how] += 1

    def lost(self, case, why):
        self._losses.append(f"{case}: {why}")

    def finish(self):
        n = sum(self._outcomes.values())
        self._record("faults", (self._name, n + len(self._losses), n, len(self._losses), dict(self._outcomes)))
        assert n + len(self._losses), "nothing was tried"
        assert not self._losses, "\n".join(self._losses[:20])


def pytest_terminal_summary(terminalreporter):
    rows = [
        value
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "call"
        for name, value in report.user_properties
        if name == "faults"
    ]
    if NOTES:
        with Path(NOTES).open("a") as file:
            file.writelines(f"{json.dumps(row)}\n" for row in rows)
    for line in table(rows):
        terminalreporter.write_line(line)


def table(rows):
    """Yield the lines of a table of (campaign, tried, survived, lost, {how: number}); those of one name are added up."""
    totals, outcomes = {}, {}
    for name, *counts, how in rows:
        totals[name] = [a + b for a, b in zip(totals.get(name, [0, 0, 0]), counts, strict=True)]
        outcomes.setdefault(name, Counter()).update(how)
    yield f"{'campaign':58} {'tried':>6} {'survived':>9} {'lost':>5}"
    for name, (tried, survived, lost) in sorted(totals.items()):
        how = ", ".join(f"{n} {what}" for what, n in sorted(outcomes[name].items()))
        yield f"{name:58} {tried:6} {survived:9} {lost:5}  {how}"
    tried, survived, lost = (sum(counts[i] for counts in totals.values()) for i in range(3))
    yield f"{'all':58} {tried:6} {survived:9} {lost:5}"


def main(path):
    """Print the table of a file of notes; returns 1 if something was lost, or nothing was tried."""
    rows = [json.loads(line) for line in Path(path).read_text().splitlines()]
    sys.stdout.write("".join(f"{line}\n" for line in table(rows)))
    return int(not rows or any(row[3] for row in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
