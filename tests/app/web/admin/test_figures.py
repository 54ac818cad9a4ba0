"""The figures of the service's page: what the counters say, added up, and times from their buckets."""

from __future__ import annotations

import math

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.samples import Sample

from app.api.metrics import Metrics
from app.web.admin.figures import Buckets, ServedVersion, figures_of, quantile


def samples(registry: CollectorRegistry) -> list[Sample]:
    return [sample for family in registry.collect() for sample in family.samples]


def observed(*values: float) -> Buckets:
    """Buckets of the library itself."""
    registry = CollectorRegistry()
    histogram = Histogram(
        "pickture_search_stage_seconds", "", ["stage"], buckets=(0.1, 0.2, 0.4), registry=registry
    ).labels("total")
    for value in values:
        histogram.observe(value)
    return figures_of(samples(registry)).stages["total"]


def test_a_quantile_lies_within_the_bucket_of_its_observation() -> None:
    found = observed(0.05, 0.15, 0.15, 0.3)
    assert found == ((0.1, 1.0), (0.2, 3.0), (0.4, 4.0), (math.inf, 4.0))
    assert quantile(found, 0.25) == pytest.approx(0.1)
    assert quantile(found, 0.5) == pytest.approx(0.15)
    assert quantile(found, 0.75) == pytest.approx(0.2)
    assert quantile(found, 1.0) == pytest.approx(0.4)


def test_quantiles_without_observations_and_beyond_the_last_bound() -> None:
    assert quantile((), 0.5) is None
    assert quantile(observed(), 0.5) is None
    assert quantile(observed(7.0), 0.5) == 0.4
    assert quantile(observed(0.05, 7.0), 0.99) == 0.4


def test_figures_add_up_over_labels() -> None:
    metrics = Metrics()
    metrics.requests.labels("GET", "/healthz", "200").inc(5)
    metrics.requests.labels("POST", "/v1/search", "503").inc(2)
    metrics.latency.labels("POST", "/v1/search").observe(0.03)
    metrics.latency.labels("GET", "/healthz").observe(9)
    metrics.verdicts.labels("known").inc(3)
    metrics.verdicts.labels("unknown").inc()
    metrics.stages.labels("network").observe(0.04)
    metrics.in_work.inc()
    metrics.waiting(4)
    metrics.refused.inc(2)
    metrics.limited.labels("address").inc()
    metrics.limited.labels("installation").inc()
    metrics.decoder_failed("crashed")
    metrics.cache_asked(True)
    metrics.served.labels("v2", "embedded", "s").set(2)
    metrics.served.labels("v1", "embedded", "s").set(0)
    metrics.model_refused.set(1)
    found = figures_of(metrics.samples(), at=12.0)
    assert (found.at, found.requests, found.failures) == (12.0, 7, 2)
    assert found.searches == {"known": 3, "unsure": 0, "unknown": 1}
    assert found.latency[-1] == (math.inf, 1.0), "other routes do not count"
    assert found.stages["network"][-1][1] == 1 and found.stages["decode"] == ()
    assert (found.in_work, found.waiting, found.full, found.limited, found.decoders) == (1, 4, 2, 2, 1)
    assert (found.cache, found.refusing) == ({"hit": 1, "miss": 0}, 1)
    assert found.served == (ServedVersion("v2", "embedded", 2),)
    plain = found.to_json()
    assert plain["latency"][-1] == (None, 1.0), "JSON has no infinity"
    assert plain["served"] == [{"version": "v2", "weights": "embedded", "processes": 2}]


def test_a_service_that_has_done_nothing_has_zeros() -> None:
    registry = CollectorRegistry()
    Counter("something_else", "", registry=registry).inc()
    found = figures_of(samples(registry))
    assert (found.requests, found.searches["known"], found.latency, found.served) == (0, 0, (), ())
