"""tflite-micro: the same faces as the network it was made from, and the arena it needs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.conftest import Cli
from ultraface_deploy import models
from ultraface_deploy.artifacts.convert import convert
from ultraface_deploy.artifacts.source import resolve_source
from ultraface_deploy.backends import get_backend, tflm
from ultraface_deploy.errors import MissingDependency, ToolFailed


@pytest.mark.parametrize("needed", [33, 1000, 1253, 60_000])
def test_the_smallest_arena_is_found_to_4_kib(needed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tflm, "_fits", lambda path, arena: arena >= needed)
    found = tflm.BACKEND.arena_kib([Path("net.tflite")])
    assert needed <= found <= needed + 4


def test_an_arena_too_small_is_no_end_of_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(target: str, arguments: dict[str, object], what: str) -> None:
        raise ToolFailed("tflite-micro crashed (SIGABRT)")

    monkeypatch.setattr(tflm, "run_in_child", crash)
    assert not tflm._fits(Path("net.tflite"), 64)


def test_where_it_is_missing_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tflm.TfLiteMicro, "available", lambda self: False)
    with pytest.raises(MissingDependency, match=r"ultraface-deploy\[tflm\]"):
        get_backend("tflm").require()


@pytest.mark.slow
def test_verify_compares_and_reports_the_arena(cli: Cli, tmp_path: Path) -> None:
    for name in ("tflm", "litert"):
        if not get_backend(name).available():
            pytest.skip(f"needs {name}: pip install 'ultraface-deploy[tflm]'")
    if shutil.which("vela") is None:
        pytest.importorskip("ethosu", reason="needs Vela: pip install 'ultraface-deploy[ethosu]'")
    folder = tmp_path / "net"
    convert(resolve_source(models.DEFAULT_MODEL, (128, 96)), ["ethosu"], "int8", folder)
    done = cli("verify", folder, "--backend", "tflm")
    assert done.code == 0, done.err
    assert "needs an arena of" in done.err
    arena = int(done.err.partition("needs an arena of ")[2].split()[0])
    assert 200 < arena < 260
