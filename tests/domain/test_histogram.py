from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from queuepool.domain.histogram import Histogram

BOUNDS = (0.1, 1.0, 10.0)


@given(st.lists(st.floats(0, 100)))
def test_each_value_is_counted_once_in_every_bucket_that_it_is_not_above(values: list[float]) -> None:
    histogram = Histogram(BOUNDS)
    for value in values:
        histogram.add(value)
    assert list(histogram.cumulative()) == [
        (bound, sum(value <= bound for value in values)) for bound in (*BOUNDS, math.inf)
    ]
    assert histogram.count == len(values)
    assert math.isclose(histogram.sum, math.fsum(values), abs_tol=1e-6)


def test_a_negative_value_does_not_let_the_sum_fall() -> None:
    histogram = Histogram(BOUNDS)
    histogram.add(-5.0)
    assert (histogram.counts, histogram.sum) == ([1, 0, 0, 0], 0.0)


def test_a_copy_stays_as_it_was() -> None:
    histogram = Histogram(BOUNDS)
    histogram.add(0.5)
    copy = histogram.copy()
    histogram.add(5.0)
    assert (copy.counts, copy.sum) == ([0, 1, 0, 0], 0.5)
