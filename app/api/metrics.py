"""Prometheus metrics. With ``PROMETHEUS_MULTIPROC_DIR`` set (``serve`` does) one scrape sums all workers."""

from __future__ import annotations

import os
import time

from flask import Flask, Response, current_app, g, request
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.samples import Sample

from app.services.observing import DecoderEnd, Relay
from app.services.serving import Served, ServedModel

MULTIPROCESS_SETTING = "PROMETHEUS_MULTIPROC_DIR"
_EXTENSION = "pickture_metrics"
_SECONDS = (0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_BATCHES = (1, 2, 3, 4, 6, 8, 16)


class Metrics:
    """The metrics of one application; each has a registry of its own, so tests may make many.

    Fulfils ``app.services.observing.Observer``.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._told: tuple[str, ...] | None = None
        self._make_request_metrics()
        self._make_search_metrics()
        self._make_network_metrics()

    def _make_request_metrics(self) -> None:
        self.requests = Counter(
            "pickture_http_requests_total",
            "Requests answered.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.latency = Histogram(
            "pickture_http_request_seconds",
            "Time from the request's headers to its answer.",
            ["method", "route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.limited = Counter(
            "pickture_requests_limited_total",
            "Requests refused because an installation or an address had used up its operations of the minute.",
            ["scope"],
            registry=self.registry,
        )

    def _make_search_metrics(self) -> None:
        self.verdicts = Counter(
            "pickture_searches_total", "Photos recognised, by verdict.", ["verdict"], registry=self.registry
        )
        self.stages = Histogram(
            "pickture_search_stage_seconds",
            "Time a search spent in each stage.",
            ["stage"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.in_work = Gauge(
            "pickture_searches_in_work",
            "Searches admitted and not yet answered.",
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        self.refused = Counter(
            "pickture_searches_refused_total",
            "Searches refused because the house was full.",
            registry=self.registry,
        )
        self.served = Gauge(
            "pickture_model_served",
            "Processes that serve this version.",
            ["version", "weights", "space"],
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        self.model_refused = Gauge(
            "pickture_model_refused",
            "Processes that cannot load the champion and serve the version before it, or none.",
            registry=self.registry,
            multiprocess_mode="livesum",
        )

    def _make_network_metrics(self) -> None:
        self.batches = Histogram(
            "pickture_network_batch_photos",
            "Photos that went through the network at once.",
            buckets=_BATCHES,
            registry=self.registry,
        )
        self.network = Histogram(
            "pickture_network_run_seconds",
            "Time of one run of the network, whatever its batch.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.queue = Gauge(
            "pickture_network_waiting_photos",
            "Photos that wait for the network.",
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        self.decoders = Counter(
            "pickture_decoder_failures_total",
            "Decoding processes that crashed or were given up, and were replaced.",
            ["end"],
            registry=self.registry,
        )
        self.cache = Counter(
            "pickture_bottleneck_cache_total",
            "Photos looked up in the cache of bottlenecks.",
            ["outcome"],
            registry=self.registry,
        )

    def batched(self, photos: int, seconds: float) -> None:
        """See ``Observer``."""
        self.batches.observe(photos)
        self.network.observe(seconds)

    def waiting(self, photos: int) -> None:
        """See ``Observer``."""
        self.queue.set(photos)

    def decoder_failed(self, end: DecoderEnd) -> None:
        """See ``Observer``."""
        self.decoders.labels(end).inc()

    def cache_asked(self, hit: bool) -> None:
        """See ``Observer``."""
        self.cache.labels("hit" if hit else "miss").inc()

    def serves(self, model: Served) -> None:
        """This process serves that version, and no other."""
        found = model.recognizer
        now = (found.version, found.weights, found.space)
        if now == self._told:
            return
        if self._told is not None:
            self.served.labels(*self._told).set(0)
        self.served.labels(*now).set(1)
        self._told = now

    def exposition(self) -> bytes:
        """Everything in the text format, of all workers where there are several."""
        return generate_latest(self._everywhere())

    def samples(self) -> list[Sample]:
        """Everything as numbers, of all workers where there are several."""
        return [sample for family in self._everywhere().collect() for sample in family.samples]

    def _everywhere(self) -> CollectorRegistry:
        if MULTIPROCESS_SETTING not in os.environ:
            return self.registry
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return registry


def metrics() -> Metrics:
    """The metrics of the application that handles this request."""
    known: Metrics = current_app.extensions[_EXTENSION]
    return known


def scrape() -> Response:
    """The view of GET /metrics."""
    return Response(metrics().exposition(), content_type=CONTENT_TYPE_PLAIN_0_0_4)


def init_app(app: Flask, model: ServedModel, observer: Relay) -> None:
    """Count and time every request, tell which ``model`` is served and whether it is the champion, from the moment that
    it is, and listen to the parts of a search."""
    made = Metrics()
    observer.attach(made)
    app.extensions[_EXTENSION] = made
    model.on_served(made.serves)
    model.on_refusal(lambda refused: made.model_refused.set(0 if refused is None else 1))
    app.before_request(_start)
    app.after_request(_count)


def _start() -> None:
    g.started = time.perf_counter()


def _count(response: Response) -> Response:
    # The rule, not the path: skus and tokens must not become label values.
    route = request.url_rule.rule if request.url_rule is not None else "unmatched"
    method = request.method if request.method in _METHODS else "other"
    metrics().requests.labels(method, route, str(response.status_code)).inc()
    metrics().latency.labels(method, route).observe(time.perf_counter() - g.started)
    return response


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"})
