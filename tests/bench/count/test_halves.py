"""Half floats in INT8 artifacts: tried on an emulated core, and left on only where they pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Cli
from ultraface_deploy.artifacts.choose import passed_in_halves
from ultraface_deploy.artifacts.folder import ArtifactFolder, Source, describe_files
from ultraface_deploy.backends import get_backend
from ultraface_deploy.bench.count import halves
from ultraface_deploy.bench.count.halves import require_halves, try_halves
from ultraface_deploy.bench.plan import Configuration
from ultraface_deploy.errors import InputError, MissingDependency
from ultraface_deploy.family.spec import ModelSpec

CORE = "cortex-a76"
Answer = tuple[dict[str, Any], Sequence[int | None]]
GOOD: dict[str, Any] = {"reason": None, "detections": 60, "reference_detections": 60}


@pytest.fixture
def int8(tmp_path: Path) -> ArtifactFolder:
    if not get_backend("mnn").available():
        pytest.skip("needs MNN")
    folder = ArtifactFolder(tmp_path / "net", ModelSpec("net", "slim", 128, 96), Source("n", "0"))
    folder.path.mkdir()
    for precision in ("fp32", "int8"):
        made = tmp_path / "made"
        made.write_bytes(precision.encode())
        name = "net.mnn" if precision == "fp32" else "net.int8.mnn"
        folder = folder.publish(describe_files("mnn", precision, {name: made}), [made], {})
    return folder


def emulate(
    monkeypatch: pytest.MonkeyPatch, without: Answer, within: Answer
) -> list[Sequence[Path]]:
    """Let the emulated core answer so, without half floats and with them."""
    photographs: list[Sequence[Path]] = []

    class Machine:
        def run(self, configuration: Configuration) -> Answer:
            return within if configuration.artifact.passed_in_halves else without

    @contextmanager
    def emulated(core: str, sysroot: object, given: Sequence[Path]) -> Iterator[Machine]:
        photographs.append(given)
        yield Machine()

    monkeypatch.setattr(halves, "emulated", emulated)
    return photographs


@pytest.mark.parametrize(
    ("result", "count", "passed", "said"),
    [
        (GOOD, 18_800_000, True, "on, faces 60 of 60, 18.8 instead of 21.7 million"),
        ({"reason": "recall 0.5"}, 18_800_000, False, "off, recall 0.5"),
        (GOOD, 21_700_000, False, "off, saves no instructions"),
        ({"reason": "exit code 139: crashed"}, None, False, "off, exit code 139"),
    ],
)
def test_left_on_where_the_faces_agree_and_it_saves(
    result: dict[str, Any],
    count: int | None,
    passed: bool,
    said: str,
    int8: ArtifactFolder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    emulate(monkeypatch, (GOOD, [21_700_000]), (result, [count]))
    lines: list[str] = []
    try_halves(int8, CORE, report=lines.append)
    written = ArtifactFolder.open(int8.path)
    found = written.find("mnn", "int8")
    assert found.passed_in_halves is passed
    assert found.halves[CORE]["instructions_without"] == 21_700_000
    assert found.halves[CORE]["instructions"] == count
    assert not written.find("mnn").halves
    assert len(lines) == 1 and said in lines[0]
    assert passed_in_halves(int8.path / "net.int8.mnn") is passed
    assert passed_in_halves(int8.path / "net.mnn") is False


def test_a_plan_for_halves_that_are_off_is_made_again(
    cli: Cli, int8: ArtifactFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command line makes it again as for other cores, and tries the halves on that."""
    asked: list[tuple[list[str], bool]] = []
    counts = iter([(GOOD, [20]), (GOOD, [21]), (GOOD, [19]), (GOOD, [18])])

    def convert(
        source: object,
        targets: list[str],
        precisions: object,
        *rest: object,
        int8: Any,
        **more: Any,
    ) -> ArtifactFolder:
        asked.append((targets, int8.halves))
        return ArtifactFolder.open(folder.path)

    class Machine:
        def run(self, configuration: Configuration) -> Answer:
            return next(counts)

    @contextmanager
    def emulated(core: str, sysroot: object, given: Sequence[Path]) -> Iterator[Machine]:
        yield Machine()

    folder = int8
    monkeypatch.setattr(halves, "emulated", emulated)
    monkeypatch.setattr(halves, "require_halves", lambda core: None)
    monkeypatch.setattr("ultraface_deploy.artifacts.convert.convert", convert)
    done = cli("convert", "slim-320", "--to", "mnn", "--int8", "--for", CORE)
    assert done.code == 0, done.error
    assert asked == [(["mnn"], True), (["mnn"], False)]
    assert "mnn: converted again, as for cores without half floats" in done.err
    assert ArtifactFolder.open(folder.path).find("mnn", "int8").passed_in_halves


def test_of_many_photographs_some(int8: ArtifactFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = emulate(monkeypatch, (GOOD, [2]), (GOOD, [1]))
    try_halves(int8, CORE, [Path(f"{number}.jpg") for number in range(1000)])
    (given,) = seen
    assert 50 < len(given) <= 64 and given[-1].name > "9"


def test_a_new_conversion_forgets_the_trial(
    int8: ArtifactFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    emulate(monkeypatch, (GOOD, [2]), (GOOD, [1]))
    tried = try_halves(int8, CORE)
    made = tmp_path / "made"
    made.write_bytes(b"another")
    again = tried.publish(describe_files("mnn", "int8", {"net.int8.mnn": made}), [made], {})
    assert not again.find("mnn", "int8").halves
    stale = tried.find("mnn", "int8")
    with pytest.raises(InputError, match="another run has replaced mnn-int8"):
        again.amend(stale)


def test_one_core_that_fails_turns_it_off(int8: ArtifactFolder) -> None:
    found = int8.find("mnn", "int8")
    assert not found.passed_in_halves
    assert replace(found, halves={"a": {"passed": True}}).passed_in_halves
    assert not replace(found, halves={"a": {"passed": True}, "b": {}}).passed_in_halves


def test_nothing_to_try_is_said(tmp_path: Path) -> None:
    empty = ArtifactFolder(tmp_path, ModelSpec("net", "slim", 128, 96), Source("n", "0"))
    with pytest.raises(InputError, match="convert to ncnn with `int8`"):
        try_halves(empty, CORE)


def test_refused_before_the_work(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"cortex-a72: has no .* choose cortex-a76"):
        require_halves("cortex-a72")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(MissingDependency):
        require_halves(CORE)
    refused = cli("convert", "slim-320", "--to", "ncnn", "--for", CORE, "-o", tmp_path / "out")
    assert refused.code == 2
    assert "give --int8 too" in refused.error
    assert not (tmp_path / "out").exists()
