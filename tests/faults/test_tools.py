"""Native tools that crash, hang, abort, do nothing or compute something else: nothing is lost."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, MakeCheckpoint
from ultraface_deploy import models
from ultraface_deploy.artifacts.convert import convert
from ultraface_deploy.artifacts.folder import ArtifactFolder
from ultraface_deploy.artifacts.int8 import runner_of
from ultraface_deploy.artifacts.source import resolve_source
from ultraface_deploy.backends import get_backend
from ultraface_deploy.converters.mnn import convert as mnn_converter
from ultraface_deploy.converters.mnn import tool as mnn_tool
from ultraface_deploy.converters.ncnn import convert as ncnn
from ultraface_deploy.converters.onnx import simplify as onnxsim
from ultraface_deploy.converters.onnx.network import OnnxExecutor, load_network
from ultraface_deploy.errors import CheckFailed, ToolFailed, UltraFaceError
from ultraface_deploy.quantize.gate import Gate
from ultraface_deploy.quantize.search import Candidate, search
from ultraface_deploy.safe import child
from ultraface_deploy.safe.images import embedded_images

STEPS = {
    "segfault": "crashed with SIGSEGV",
    "abort": "crashed with SIGABRT: .*length_error",
    "hang": "did not finish within",
    "write_nothing": "ended without a file",
}
Misbehave = Callable[[str], None]


def contents(folder: ArtifactFolder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.path.iterdir() if path.is_file()}


def refuses(folder: ArtifactFolder, target: str, error: type[UltraFaceError], said: str) -> None:
    """A conversion fails in one line and leaves the folder byte for byte as it was."""
    before = contents(folder)
    with pytest.raises(error, match=said) as failed:
        convert(resolve_source(folder.path), [target], output=folder.path)
    assert "\n" not in str(failed.value)
    assert contents(folder) == before
    assert not [path for path in folder.path.iterdir() if path.name.startswith(".scratch")]


@pytest.fixture
def in_child(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any, str], None]:
    """Return a function that has a module run another step in its child."""

    def replace(module: Any, step: str, **arguments: Any) -> None:
        real = child.run_in_child
        monkeypatch.setattr(
            module,
            "run_in_child",
            lambda target, given, *, what, **rest: real(
                f"tests.faults.misbehaving:{step}",
                arguments and {k: given.get(k) or v for k, v in arguments.items()},
                what=what,
                timeout=1 if step == "hang" else 60,
            ),
        )

    return replace


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    ("target", "module"), [("onnxsim", onnxsim), ("mnn", mnn_converter)], ids=["onnxsim", "mnn"]
)
def test_tool_in_a_child(
    folder: ArtifactFolder, in_child: Any, target: str, module: Any, step: str
) -> None:
    in_child(module, step)
    refuses(folder, target, ToolFailed, STEPS[step])


@pytest.mark.parametrize("step", [*STEPS, "wrong numbers"])
def test_mnn_quantiser(
    in_child: Any, converted: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, step: str
) -> None:
    """Whatever it does, its candidate is rejected with the reason, and the search goes on."""
    slim, rfb = (
        converted(models.FOLDER / f"{name}-320.pth", "onnxsim", "mnn", size=(160, 128))
        for name in ("slim", "rfb")
    )
    (source,), (other,) = slim.files(slim.find("onnxsim")), rfb.files(rfb.find("mnn"))

    def misbehave(tool: str, given: list[str]) -> None:
        if step == "wrong numbers":  # a sound INT8 file, of another network
            mnn_converter.run_tool(tool, [str(other), *given[1:]])
        else:
            in_child(mnn_converter, step)
            mnn_converter.run_tool(tool, given)

    def make(folder: Path) -> list[Path]:
        photos = embedded_images()
        mnn_tool.quantize_with_mnn(source, slim.spec, photos, "EMA", folder / "model.mnn")
        return [folder / "model.mnn"]

    monkeypatch.setattr(mnn_tool, "run_tool", misbehave)
    gate = Gate(OnnxExecutor(*load_network(source)), slim.spec, embedded_images(), tmp_path)
    candidate = Candidate("MNN's own EMA", 1.0, make)
    runner = runner_of(get_backend("mnn"), slim.spec, tmp_path)
    found = search([candidate], gate, runner, tmp_path, max_bytes=10**6, budget_s=60)
    assert found.best is None
    said = STEPS.get(step, "F1 .* wanted")
    assert re.search(said, str(found.trials[0].verdict.reason))


FAKES = {
    "segfault": "kill -SEGV $$",
    "abort": "echo std::length_error >&2; kill -ABRT $$",
    "hang": "sleep 600",
    "write_nothing": "exit 0",
}


@pytest.fixture
def fake_pnnx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that puts a shell script in the place of pnnx."""

    def install(script: str, timeout: float = 60) -> None:
        program = tmp_path / "pnnx"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setattr(ncnn, "_pnnx", lambda: program)
        monkeypatch.setattr(ncnn, "run_program", partial(child.run_program, timeout=timeout))

    return install


@pytest.mark.parametrize("step", FAKES)
def test_pnnx(folder: ArtifactFolder, fake_pnnx: Callable[..., None], step: str) -> None:
    fake_pnnx(FAKES[step], 1 if step == "hang" else 60)
    refuses(folder, "ncnn", ToolFailed, f"pnnx {STEPS[step]}")


@pytest.mark.parametrize("target", ["onnxsim", "mnn", "ncnn"])
def test_file_with_wrong_numbers(
    folder: ArtifactFolder,
    converted: Any,
    make_checkpoint: MakeCheckpoint,
    monkeypatch: pytest.MonkeyPatch,
    fake_pnnx: Callable[..., None],
    target: str,
    tmp_path: Path,
) -> None:
    """A sound file of a network with other weights: only comparing outputs tells."""
    other = converted(make_checkpoint("rfb"), "onnx", "onnxsim", "mnn", "ncnn", size=(128, 96))
    files = other.files(other.find(target))
    if target == "ncnn":
        param, weights = files
        fake_pnnx(f"cp {param} model.ncnn.param; cp {weights} model.ncnn.bin")
        monkeypatch.setattr(ncnn, "rename_blobs", lambda text, spec: text)
    elif target == "mnn":
        monkeypatch.setattr(
            mnn_converter, "run_tool", lambda tool, given: shutil.copy(files[0], given[5])
        )
    else:
        monkeypatch.setattr(
            onnxsim,
            "run_in_child",
            lambda name, given, **rest: shutil.copy(files[0], given["output"]),
        )
    refuses(folder, target, CheckFailed, f"{target} on .* is not the original network")


@pytest.mark.slow
@pytest.mark.parametrize("formats", ["mnn", pytest.param("all", marks=pytest.mark.long)])
def test_no_socket_is_opened_and_nothing_is_installed(tmp_path: Path, formats: str) -> None:
    """MNN's console scripts install a package and post usage data; what we call does not.

    `make attack` watches every format in every precision, and each for longer.
    """
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("needs strace, which watches the system calls of all child processes")
    pytest.importorskip("MNN", reason="its converter is what is watched")
    log = tmp_path / "calls"
    done = subprocess.run(
        [
            *(strace, "-f", "-qq", "-e", "trace=socket,connect,execve", "-o", str(log)),
            *(sys.executable, "-m", "ultraface_deploy", "convert", "slim-320", "--to", formats),
            *("--int8", "--input-size", "128x96", "-o", str(tmp_path / "out")),
        ],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert done.returncode == 0, done.stderr
    calls = log.read_text()
    assert "execve" in calls, "strace saw nothing"
    assert not network_calls(calls)
    programs = re.findall(r'execve\("[^"]*", \[(.*?)\]', calls)
    assert not [program for program in programs if "pip" in program or "aliyun" in program]


@pytest.mark.slow
def test_no_runtime_reports_what_is_done(
    converted: Any, make_checkpoint: MakeCheckpoint, tmp_path: Path
) -> None:
    """ONNX Runtime reports a few seconds after it is loaded, unless it was told not to.

    OpenVINO's telemetry looks up a host at import, and once more at the end.
    """
    formats = ["onnx", "onnxsim", "mnn", "ncnn"]
    runtimes = ["onnxruntime", "mnn", "ncnn", "opencv"]
    if get_backend("openvino").available():
        formats, runtimes = [*formats, "openvino"], [*runtimes, "openvino"]
    folder = converted(make_checkpoint(), *formats, size=(128, 96))
    program = (
        "import time, numpy as np; from ultraface_deploy import Detector;"
        f"[Detector.open({str(folder.path)!r}, name).detect(np.zeros((99, 99, 3), np.uint8))"
        f" for name in {runtimes}]; time.sleep(8)"
    )
    assert not network_calls(watched(program, tmp_path / "calls"))


@pytest.mark.parametrize(("disabled", "said"), [(None, 1), ("1", 0)])
def test_a_runtime_that_was_imported_before_us(disabled: str | None, said: int) -> None:
    """Its reporting is on by then; at least we say so."""
    pytest.importorskip("onnxruntime")
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    environment |= {} if disabled is None else {"ORT_DISABLE_TELEMETRY": disabled}
    done = subprocess.run(
        [sys.executable, "-c", "import onnxruntime, ultraface_deploy"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.count("imported before ultraface_deploy") == said


def watched(program: str, log: Path) -> str:
    """Run a Python program under strace and return its calls; skip where there is no strace."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("needs strace, which watches the system calls")
    watch = [strace, "-f", "-qq", "-e", "trace=socket,connect,execve", "-o", str(log)]
    subprocess.run([*watch, sys.executable, "-c", program], cwd=ROOT, check=True)
    calls = log.read_text()
    assert "execve" in calls, "strace saw nothing"
    return calls


def network_calls(calls: str) -> Sequence[str]:
    """Sockets that could leave the machine."""
    return re.findall(r"socket\(AF_(?:INET6?|PACKET).*", calls)


def test_what_the_watch_would_see() -> None:
    assert network_calls("12 socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, IPPROTO_IP) = 3\n")
    assert not network_calls("12 socket(AF_UNIX, SOCK_STREAM, 0) = 3\n")
