"""Prometheus metrics. With ``PROMETHEUS_MULTIPROC_DIR`` set (``serve`` does) one scrape sums all workers."""

from __future__ import annotations

import os
import time

from flask import Flask, Response, current_app, g, request
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from app.services.serving import ServedModel

MULTIPROCESS_SETTING = "PROMETHEUS_MULTIPROC_DIR"
_EXTENSION = "pickture_metrics"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The metrics of one application; each has a registry of its own, so tests may make many."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
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
        self.model_refused = Gauge(
            "pickture_model_refused",
            "Processes that cannot load the champion and serve the version before it, or none.",
            registry=self.registry,
            multiprocess_mode="livesum",
        )

    def exposition(self) -> bytes:
        """Everything in the text format, of all workers where there are several."""
        if MULTIPROCESS_SETTING in os.environ:
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
            return generate_latest(registry)
        return generate_latest(self.registry)


def metrics() -> Metrics:
    """The metrics of the application that handles this request."""
    known: Metrics = current_app.extensions[_EXTENSION]
    return known


def scrape() -> Response:
    """The view of GET /metrics."""
    return Response(metrics().exposition(), content_type=CONTENT_TYPE_PLAIN_0_0_4)


def init_app(app: Flask, model: ServedModel) -> None:
    """Count and time every request, and tell whether ``model`` is the champion."""
    made = Metrics()
    app.extensions[_EXTENSION] = made
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
