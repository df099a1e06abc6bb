"""`bench --host`: the same benchmark on boards."""

# Tested by tests/bench/test_remote.py.

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ultraface_deploy.cli.console import note, progress

if TYPE_CHECKING:
    from ultraface_deploy.bench.result import BenchReport
    from ultraface_deploy.bench.run import BenchProgress, BenchSettings


def measure_on_boards(
    hosts: list[str],
    found: list[Any],
    settings: BenchSettings,
    cores: str | None,
    bootstrap: bool,
    identity: Path | None,
) -> BenchReport:
    """Measure on all hosts at once and put the results into one report.

    Raises:
        RemoteFailed: no host could do it.
    """
    from ultraface_deploy.bench.remote import measure_on_hosts
    from ultraface_deploy.bench.result import Failure, merged

    hosts = list(dict.fromkeys(hosts))
    with progress() as display:
        tasks = {host: display.add_task(f"{host} connecting", total=None) for host in hosts}

        def show(host: str, now: BenchProgress) -> None:
            text = f"{host} {now.doing}"
            display.update(tasks[host], description=text, completed=now.done - 1, total=now.total)

        reports, failures = measure_on_hosts(
            hosts, found, settings, cores, bootstrap, identity, show, note
        )
    if not reports:
        raise next(iter(failures.values()))
    for failure in failures.values():
        note(f"warning: {failure}")
    untimed = [
        Failure(
            c.model, c.artifact.id, c.backend, c.artifact.precision, c.threads, str(error), host
        )
        for host, error in failures.items()
        for c in found
    ]
    return merged(reports, untimed)
