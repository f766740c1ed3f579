"""How many disturbances were tried, survived and lost: collected by tests, printed at the end (pytest -p tally)."""

import os
from collections import Counter

#: Cases of each campaign: a few in the normal run of the tests, all of them in scripts/fault_tests.sh.
LIMIT = int(os.environ.get("FAULT_TESTS_LIMIT", "0"))
IS_LONG = bool(os.environ.get("FAULT_TESTS_LONG"))


def chosen(cases, quick):
    """Return the cases to try: all, or as many as asked for, spread evenly over them."""
    cases = list(cases)
    n = LIMIT or (len(cases) if IS_LONG else quick)
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
    write = terminalreporter.write_line
    write(f"{'campaign':58} {'tried':>6} {'survived':>9} {'lost':>5}")
    for name, tried, survived, lost, outcomes in sorted(rows):
        how = ", ".join(f"{n} {what}" for what, n in sorted(outcomes.items()))
        write(f"{name:58} {tried:6} {survived:9} {lost:5}  {how}")
    totals = [sum(row[i] for row in rows) for i in (1, 2, 3)]
    write(f"{'all':58} {totals[0]:6} {totals[1]:9} {totals[2]:5}")
