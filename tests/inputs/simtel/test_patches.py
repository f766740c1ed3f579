"""ctapipe and eventio as every other program knows them, beside runs that are read another way."""

import pytest
from ctapipe.core.provenance import Provenance
from ctapipe.io import SimTelEventSource, simteleventsource
from eventio.simtel import simtelfile

from image_extractor.errors import ConfigError
from image_extractor.inputs.simtel import open_run
from image_extractor.other_names import with_names
from image_extractor.tested_versions import TESTED


def name_of(path):
    """Stands for a function of a library."""
    return Path(path).name  # noqa: F821, given by the test


def test_names_are_found_elsewhere():
    assert with_names("eventio", name_of, Path=open_run.Path)("folder/file") == "file"
    with pytest.raises(NameError):
        name_of("folder/file")


@pytest.mark.parametrize("function", [name_of, len])
def test_a_name_that_is_not_used_any_more_is_said(function):
    message = (
        f"^{function.__name__} of this version of eventio does not use SimTelFile any more: install eventio 2.1 to"
    )
    with pytest.raises(ConfigError, match=message):
        with_names("eventio", function, SimTelFile=None)


@pytest.mark.parametrize("owner", [SimTelEventSource, simtelfile.SimTelFile])
def test_another_version_that_opens_files_otherwise_is_refused(owner, production, monkeypatch):
    def other(self, *arguments, **kwargs):
        raise AssertionError("must not be called")

    monkeypatch.setattr(owner, "__init__", other)
    with pytest.raises(ConfigError, match="does not use"):
        open_run.open_run(production[0])


@pytest.mark.parametrize("untested", ["ctapipe", "eventio"])
def test_another_version_is_read_the_slow_way(untested, production, monkeypatch):
    monkeypatch.setitem(TESTED, untested, ("0.1", "0.2"))
    open_run.run_class.cache_clear()
    with open_run.open_run(production[0], fast=True) as run:
        assert type(run).__name__ == "SimTelRun"
        assert sum(1 for _ in run) > 0
        run.check_end()
    open_run.run_class.cache_clear()


@pytest.mark.parametrize("fast", [False, True])
def test_opening_a_run_changes_nothing_of_the_libraries(fast, production, monkeypatch):
    """Looked at on the way, too."""
    modules = simteleventsource, simtelfile
    seen = [{name: id(value) for name, value in vars(module).items()} for module in modules]
    here = []

    def begin_events(self):
        here.append([{name: id(value) for name, value in vars(module).items()} for module in modules])
        self._in_header = False

    monkeypatch.setattr(open_run.RunObjects, "begin_events", begin_events)
    with open_run.open_run(production[0], fast=fast):
        assert here == [seen]


def test_an_input_is_recorded_where_a_caller_records(production):
    provenance = Provenance()
    provenance.start_activity("test")
    with open_run.open_run(production[0]):
        assert len(provenance.current_activity.input) == 1
    provenance.finish_activity("test")
    provenance.clear()
