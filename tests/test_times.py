"""Times of observed events, against astropy's and ctapipe's."""

import warnings

import numpy as np
import pytest
from astropy.time import Time
from ctapipe.containers import TriggerContainer
from ctapipe.time import ctao_high_res_to_time, time_to_ctao_high_res

from image_extractor.times import NOT_KNOWN, to_nanoseconds, to_utc, utc_text


@pytest.mark.parametrize(
    "text", ["2016-12-31T23:59:59.999999999", "2016-12-31T23:59:60.123456789", "2017-01-01T00:00:00.000000001"]
)
def test_a_leap_second_has_numbers_of_its_own(text):
    number = to_nanoseconds(Time(text, scale="utc"))
    assert to_utc(number).isot == text
    assert utc_text(number) == f"{text} UTC"


def test_seconds_are_those_that_pass():
    before, after = (
        to_nanoseconds(Time(f"{day}T{time}", scale="utc"))
        for day, time in (("2016-12-31", "23:59:59"), ("2017-01-01", "00:00:00"))
    )
    assert after - before == 2_000_000_000  # a leap second lies between


def test_every_nanosecond_comes_back():
    numbers = np.random.default_rng(1).integers(1, 2**61, 10_000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of leap seconds that nobody knows yet
        assert np.array_equal(to_nanoseconds(to_utc(numbers)), numbers)
        assert np.array_equal(to_nanoseconds(to_utc(numbers[0])), numbers[0])


def test_it_is_ctapipes_clock():
    seconds, quarters = np.array([1_483_228_836, 1_700_000_000]), np.array([4, 3_999_999_996])
    numbers = to_nanoseconds(ctao_high_res_to_time(seconds, quarters))
    assert numbers.tolist() == [1_483_228_836_000_000_001, 1_700_000_000_999_999_999]
    assert np.array_equal(np.stack([seconds, quarters], axis=-1), time_to_ctao_high_res(to_utc(numbers)))


def test_what_is_not_known_stays_so():
    assert to_nanoseconds(TriggerContainer().time) == NOT_KNOWN
    times = to_utc([NOT_KNOWN, 1_483_228_836_123_456_789])
    assert times.mask.tolist() == [True, False]
    assert to_nanoseconds(times).tolist() == [NOT_KNOWN, 1_483_228_836_123_456_789]
    assert np.isnat(np.int64(NOT_KNOWN).view("datetime64[ns]"))
    assert utc_text(NOT_KNOWN) == "at an unknown time"
