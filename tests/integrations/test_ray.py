"""Two nodes on this machine: workers and a node are killed, and every picture has its one row.

`make test-ray` runs it; the ordinary suite leaves it out.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import psutil
import pytest

from tests.conftest import Cli
from ultraface_deploy.detect.detector import Detector, open_detector
from ultraface_deploy.errors import InputError
from ultraface_deploy.integrations import ray as engine
from ultraface_deploy.safe.images import DEMO_PHOTO, read_image

pytestmark = pytest.mark.ray
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
# At Ray's own 15 its workers stand still on a machine that is busy otherwise.
os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - its name
ray = pytest.importorskip("ray", reason="needs the extra ray")
parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra ray")

OPEN = partial(open_detector, "slim-320")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hundred pictures with a face or without, some damaged, some unreadable."""
    folder = tmp_path_factory.mktemp("pictures")
    photo = read_image(DEMO_PHOTO)
    for number in range(100):
        picture = cv2.resize(photo[number % 40 :], (1200, 1200))
        content = cv2.imencode(".jpg", picture if number % 3 else 0 * picture)[1].tobytes()
        if number % 17 == 4:
            content = b"no picture"
        if number % 17 == 9:
            content = content[: len(content) // 2]
        (folder / f"{number:03}.jpg").write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def serial(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The rows of one process that takes one picture after the other."""
    target = tmp_path_factory.mktemp("serial") / "rows.parquet"
    words = ["detect", str(pictures), "--workers", "1", "--parquet", str(target)]
    subprocess.run([sys.executable, "-m", "ultraface_deploy", *words], capture_output=True)
    rows: list[dict[str, Any]] = parquet.read_table(target).to_pylist()
    return rows


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head whose one core stays free for Ray, and further nodes that the tests add."""
    cluster = head()
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def head(tries: int = 3) -> Any:
    """Start the first node; on a busy machine the 30 seconds that Ray gives itself may be over."""
    from ray.cluster_utils import Cluster

    arguments = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 100 << 20}
    try:
        return Cluster(initialize_head=True, head_node_args=arguments)
    except Exception:
        if tries == 1:
            raise
        return head(tries - 1)


def rows(output: Path) -> list[dict[str, Any]]:
    """All rows in the order of the parts, without the column that only parts have."""
    files = sorted(output.glob("part-*.parquet"))
    found = [row for file in files for row in parquet.read_table(file).to_pylist()]
    return [{key: value for key, value in row.items() if key != "shard"} for row in found]


def when(condition: Callable[[], bool], do: Callable[[], Any]) -> threading.Thread:
    """Do something as soon as it is time."""

    def watch() -> None:
        while not condition():
            time.sleep(0.01)
        do()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def kill_a_worker(killed: list[int]) -> None:
    """Kill the process of an actor, as soon as there is one."""
    while True:
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                if "MapWorker" in " ".join(process.cmdline()):
                    process.kill()
                    killed.append(process.pid)
                    return
        time.sleep(0.01)


def test_workers_and_a_node_die(
    cluster: Any, pictures: Path, serial: list[dict[str, Any]], tmp_path: Path
) -> None:
    second = cluster.add_node(num_cpus=1, object_store_memory=100 << 20)
    cluster.wait_for_nodes()
    output = tmp_path / "out"

    def parts() -> int:
        return len(list(output.glob("part-*.parquet")))

    killed: list[int] = []
    killers = [
        when(lambda: parts() >= 2, lambda: kill_a_worker(killed)),
        when(lambda: parts() >= 6, lambda: cluster.remove_node(second, allow_graceful=False)),
        when(lambda: parts() >= 12, lambda: kill_a_worker(killed)),
    ]
    found = engine.detect([str(pictures)], str(output), OPEN, pictures=5)
    assert not any(killer.is_alive() for killer in killers)
    assert len(set(killed)) == 2
    assert rows(output) == serial
    assert (found.parts, found.pictures) == (20, 100)
    assert found.unreadable == sum(row["error"] is not None for row in serial) > 3
    assert found.faces == sum(len(row["faces"] or []) for row in serial) > 20


def test_a_run_goes_on(
    cluster: Any, pictures: Path, serial: list[dict[str, Any]], tmp_path: Path
) -> None:
    output = tmp_path / "out"
    engine.detect([str(pictures)], str(output), OPEN, pictures=25)
    kept = output / "part-00000001.parquet"
    before = kept.stat().st_mtime_ns
    (output / "part-00000002.parquet").unlink()
    (output / ".part-00000002.abc.tmp.parquet").write_bytes(b"half")
    found = engine.detect([str(pictures)], str(output), OPEN, pictures=25)
    assert rows(output) == serial and found.pictures == 100
    assert kept.stat().st_mtime_ns == before
    assert not list(output.glob(".part*"))
    with pytest.raises(InputError, match="begun with another list of pictures"):
        engine.detect([str(pictures)], str(output), OPEN, pictures=60)
    with pytest.raises(InputError, match="begun with another model"):
        engine.detect([str(pictures)], str(output), partial(open_detector, "rfb-320"), pictures=25)
    with pytest.raises(InputError, match="holds other files"):
        engine.detect([str(pictures)], str(pictures), OPEN)


class Refusing:
    """A detector that an actor cannot open, though the driver could."""

    def __init__(self) -> None:
        self._process = os.getpid()

    def __call__(self) -> Detector:
        if os.getpid() != self._process:
            raise InputError("gone.onnx: no such model")
        return open_detector("slim-320")


def test_what_an_actor_raises_is_said(cluster: Any, pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone.onnx: no such model"):
        engine.detect([str(pictures)], str(tmp_path / "out"), Refusing())


def test_evaluation(cluster: Any, cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(17):
        shutil.copy(DEMO_PHOTO, folder / f"{number}.jpg")
    labels = tmp_path / "labels.txt"
    labels.write_text(
        "".join(f"{number}.jpg\n1\n177 62 97 112 0 0 0 0 0 0\n" for number in range(17))
    )
    results = []
    for name, words in (("here", ()), ("there", ("--engine", "ray"))):
        target = tmp_path / f"{name}.json"
        done = cli(
            *("eval", "--backend", "onnxruntime", "--folder", folder, "--labels", labels),
            *("--json", target, "--save-predictions", tmp_path / name, *words),
        )
        assert done.code == 0, done.err
        results.append(json.loads(target.read_text()))
    assert results[0] == results[1]
    assert results[0]["results"][0]["ap"] or results[0]["results"]


def test_the_command(cluster: Any, cli: Cli, pictures: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    done = cli("detect", pictures, "--engine", "ray", "-o", output, "--shard-size", "64")
    assert done.code == 1
    assert "pictures could not be read" in done.error
    assert done.out.splitlines()[-1].endswith(f"in 100 pictures: 2 files in {output}")
    assert len(rows(output)) == 100
