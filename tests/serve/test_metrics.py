"""What Prometheus reads, read back by its own parser."""

from __future__ import annotations

from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from ultraface_deploy.serve.metrics import Metrics


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    found: dict[Any, float] = {}
    for family in text_string_to_metric_families(metrics.text().decode()):
        for sample in family.samples:
            found[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
    return found


def test_pictures_stages_and_answers_are_counted() -> None:
    metrics = Metrics()
    metrics.seen(3, {"network": 0.003})
    metrics.seen(1, {"network": 0.1})
    metrics.answered(200)
    metrics.answered(503)
    metrics.answered(503)
    found = samples(metrics)
    assert found["ultraface_pictures_total", ()] == 2
    assert found["ultraface_faces_seen_total", ()] == 4
    assert found["ultraface_faces", ()] == 1
    stage = ("stage", "network")
    assert found["ultraface_stage_seconds_count", (stage,)] == 2
    assert found["ultraface_stage_seconds_bucket", (("le", "0.004"), stage)] == 1
    assert found["ultraface_requests_total", (("status", "503"),)] == 2


def test_a_gauge_is_asked_when_it_is_read() -> None:
    metrics, value = Metrics(), [1.0]
    metrics.watch("viewers", "Who looks.", lambda: value[0])
    value[0] = 7.0
    assert samples(metrics)["ultraface_viewers", ()] == 7.0


def test_two_servers_in_one_process() -> None:
    Metrics()
    assert Metrics().text()
