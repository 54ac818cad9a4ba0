"""What the parts of a search tell of themselves reaches the metrics, and versions in service are told apart."""

from __future__ import annotations

from flask import Flask
from flask.testing import FlaskClient

from app.api.metrics import Metrics
from app.services.observing import Observer, Relay
from app.wiring import Container
from tests.app.api.world import VERSION, KnnLoader, Shop


def test_a_relay_tells_nobody_until_somebody_listens_and_then_everything() -> None:
    relay, metrics = Relay(), Metrics()
    observers: list[Observer] = [relay, metrics]
    assert len(observers) == 2
    relay.batched(3, 0.1)
    relay.attach(metrics)
    relay.batched(4, 0.05)
    relay.batched(1, 0.03)
    relay.waiting(7)
    relay.decoder_failed("crashed")
    relay.decoder_failed("timeout")
    relay.cache_asked(True)
    relay.cache_asked(False)
    relay.cache_asked(False)
    text = metrics.exposition().decode()
    for line in (
        "pickture_network_batch_photos_sum 5.0",
        "pickture_network_batch_photos_count 2.0",
        'pickture_network_batch_photos_bucket{le="1.0"} 1.0',
        "pickture_network_run_seconds_sum 0.08",
        "pickture_network_waiting_photos 7.0",
        'pickture_decoder_failures_total{end="crashed"} 1.0',
        'pickture_decoder_failures_total{end="timeout"} 1.0',
        'pickture_bottleneck_cache_total{outcome="hit"} 1.0',
        'pickture_bottleneck_cache_total{outcome="miss"} 2.0',
    ):
        assert line in text, line


def test_the_application_listens_to_its_container(client: FlaskClient, container: Container) -> None:
    container.observer.waiting(5)
    assert "pickture_network_waiting_photos 5.0" in client.get("/metrics").text


def test_the_version_before_is_not_served_any_more(
    client: FlaskClient, container: Container, loader: KnnLoader, shop: Shop
) -> None:
    def told(version: str) -> str:
        return f'pickture_model_served{{space="fake-space",version="{version}",weights="fake"}}'

    assert f"{told(VERSION)} 1.0" in client.get("/metrics").text
    loader.published = "later"
    container.model.renewed()
    text = client.get("/metrics").text
    assert f"{told(VERSION)} 0.0" in text and f"{told('later')} 1.0" in text


def test_a_process_tells_which_version_it_serves_without_being_asked(
    application: Flask, container: Container, loader: KnnLoader
) -> None:
    """One worker answers a scrape with what all have told: each must have told it before anybody asks it."""
    metrics: Metrics = application.extensions["pickture_metrics"]
    assert b"pickture_model_served{" not in metrics.exposition()
    for version in (VERSION, "later"):
        loader.published = version
        container.model.renewed()
        text = metrics.exposition().decode()
        assert f'pickture_model_served{{space="fake-space",version="{version}",weights="fake"}} 1.0' in text
    assert f'version="{VERSION}",weights="fake"}} 0.0' in text


def test_without_a_model_no_version_is_told(client: FlaskClient, loader: KnnLoader) -> None:
    loader.published = None
    assert "pickture_model_served{" not in client.get("/metrics").text
