"""The service's figures at one moment, from the counters behind ``/metrics``, of all its workers."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from prometheus_client.samples import Sample

QUANTILES: Final = (0.5, 0.95, 0.99)

SEARCH_ROUTE: Final = "/v1/search"
VERDICTS: Final = ("known", "unsure", "unknown")
STAGES: Final = ("decode", "network", "classify", "total")

Buckets = tuple[tuple[float, float], ...]
"""(upper bound in seconds, observations up to it), rising; the last bound is infinite."""


@dataclass(frozen=True, slots=True)
class ServedVersion:
    """A version that processes serve, and how many of them do."""

    version: str
    weights: str
    processes: int


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts since the service was started, and what it does at this moment.

    at: Unix seconds. requests, failures: answered, and answered with a status of 500 or above. searches: by verdict.
    latency: of searches as HTTP requests; stages: of their parts. in_work: searches admitted and not answered. waiting:
    photos that wait for the network. full, limited: requests refused because the house was full, because of limits.
    decoders: decoding processes that were replaced. cache: photos looked up, by ``hit`` and ``miss``. refusing:
    processes that cannot load the champion.
    """

    at: float
    requests: int
    failures: int
    searches: Mapping[str, int]
    latency: Buckets
    stages: Mapping[str, Buckets]
    in_work: int
    waiting: int
    full: int
    limited: int
    decoders: int
    cache: Mapping[str, int]
    served: tuple[ServedVersion, ...]
    refusing: int

    def to_json(self) -> dict[str, Any]:
        """For the page's script, which makes rates of two of them. An infinite bound is null."""
        return {
            "at": self.at,
            "requests": self.requests,
            "failures": self.failures,
            "searches": dict(self.searches),
            "latency": _plain(self.latency),
            "stages": {name: _plain(buckets) for name, buckets in self.stages.items()},
            "in_work": self.in_work,
            "waiting": self.waiting,
            "full": self.full,
            "limited": self.limited,
            "decoders": self.decoders,
            "cache": dict(self.cache),
            "served": [{"version": s.version, "weights": s.weights, "processes": s.processes} for s in self.served],
            "refusing": self.refusing,
        }


def figures_of(samples: Iterable[Sample], at: float | None = None) -> Figures:
    """The figures of these samples. at: when they were taken, now by default."""
    found = _Samples(samples)
    http = "pickture_http_request"
    return Figures(
        at=time.time() if at is None else at,
        requests=found.total(f"{http}s_total"),
        failures=found.total(f"{http}s_total", lambda labels: labels["status"].startswith("5")),
        searches={name: found.total("pickture_searches_total", _is(verdict=name)) for name in VERDICTS},
        latency=found.buckets(f"{http}_seconds_bucket", route=SEARCH_ROUTE),
        stages={name: found.buckets("pickture_search_stage_seconds_bucket", stage=name) for name in STAGES},
        in_work=found.total("pickture_searches_in_work"),
        waiting=found.total("pickture_network_waiting_photos"),
        full=found.total("pickture_searches_refused_total"),
        limited=found.total("pickture_requests_limited_total"),
        decoders=found.total("pickture_decoder_failures_total"),
        cache={name: found.total("pickture_bottleneck_cache_total", _is(outcome=name)) for name in ("hit", "miss")},
        served=found.served(),
        refusing=found.total("pickture_model_refused"),
    )


def quantile(buckets: Buckets, share: float) -> float | None:
    """The time that this share of observations stayed below, seconds; None without any.

    Straight between the bounds of the bucket that it falls into, and the highest finite bound above that, as
    Prometheus' ``histogram_quantile`` has it.
    """
    if not buckets or not buckets[-1][1]:
        return None
    wanted = share * buckets[-1][1]
    for (low, below), (high, within) in pairwise(((0.0, 0.0), *buckets)):
        if within >= wanted and within > below:
            return low if math.isinf(high) else low + (high - low) * (wanted - below) / (within - below)
    return None


class _Samples:
    """Samples by name, to be added up over their other labels."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._by_name: dict[str, list[Sample]] = {}
        for sample in samples:
            self._by_name.setdefault(sample.name, []).append(sample)

    def total(self, name: str, wanted: Any = None) -> int:
        rows = self._by_name.get(name, ())
        return int(sum(sample.value for sample in rows if wanted is None or wanted(sample.labels)))

    def buckets(self, name: str, **labels: str) -> Buckets:
        counts: dict[float, float] = {}
        for sample in self._by_name.get(name, ()):
            if _is(**labels)(sample.labels):
                bound = float(sample.labels["le"])
                counts[bound] = counts.get(bound, 0.0) + sample.value
        return tuple(sorted(counts.items()))

    def served(self) -> tuple[ServedVersion, ...]:
        rows: Sequence[Sample] = self._by_name.get("pickture_model_served", ())
        found = [ServedVersion(s.labels["version"], s.labels["weights"], int(s.value)) for s in rows if s.value]
        return tuple(sorted(found, key=lambda row: row.version, reverse=True))


def _is(**wanted: str) -> Any:
    return lambda labels: all(labels.get(name) == value for name, value in wanted.items())


def _plain(buckets: Buckets) -> list[tuple[float | None, float]]:
    return [(None if math.isinf(bound) else bound, count) for bound, count in buckets]
