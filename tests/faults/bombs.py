"""Model files that would take gigabytes, one of each format, and what a command does with them."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import subprocess
import sys
import uuid
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.conftest import ROOT
from ultraface_deploy.artifacts.folder import MANIFEST, ArtifactFolder
from ultraface_deploy.safe.files import sha256_of

_MOST_MB = 1024
_MOST_SECONDS = 60
# What a failing test may take of the machine.
_LIMIT = 3 << 30
_PAD = 20_000


def _onnx(files: Sequence[Path]) -> None:
    """A constant of 3 GiB before the network's outputs."""
    import onnx
    from onnx import TensorProto, helper

    model = onnx.load(str(files[0]))
    size = helper.make_tensor("size", TensorProto.INT64, [1], [3 << 28])
    value = helper.make_tensor("value", TensorProto.FLOAT, [1], [0.0])
    output = model.graph.output[0].name
    for node in model.graph.node:
        node.output[:] = [name if name != output else "before" for name in node.output]
    model.graph.initializer.append(size)
    model.graph.node.extend(
        [
            helper.make_node("ConstantOfShape", ["size"], ["huge"], value=value),
            helper.make_node("ReduceSum", ["huge"], ["sum"], keepdims=0),
            helper.make_node("Add", ["before", "sum"], [output]),
        ]
    )
    files[0].write_bytes(model.SerializeToString())


def _mnn(files: Sequence[Path]) -> None:
    from tests.fuzz.structure import mnn_edited

    def edit(text: str) -> str:
        return re.sub(r'"pads":\s*\[[^\]]*\]', f'"pads": {[_PAD] * 4}', text, count=1)

    files[0].write_bytes(mnn_edited(files[0].read_bytes(), edit))


def _ncnn(files: Sequence[Path]) -> None:
    text = files[0].read_text()
    files[0].write_text(re.sub(r"(\nConvolution .*?) 4=\d+", rf"\1 4={_PAD}", text, count=1))


def _caffe(files: Sequence[Path]) -> None:
    text = files[0].read_text()
    files[0].write_text(re.sub(r"pad: \d+", f"pad: {_PAD}", text, count=1))


def _tflite(files: Sequence[Path]) -> None:
    import flatbuffers
    import numpy as np
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(files[0].read_bytes(), 0)
    graph = model.subgraphs[0]
    pad = next(each for each in graph.operators if len(each.inputs) == 2)
    amounts = np.array([[0, 0], [_PAD, _PAD], [_PAD, _PAD], [0, 0]], np.int32)
    model.buffers[graph.tensors[pad.inputs[1]].buffer].data = amounts.view(np.uint8).ravel()
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    files[0].write_bytes(bytes(builder.Output()))


def _torch(files: Sequence[Path]) -> None:
    size = (2500 << 20).to_bytes(5, "little")
    with zipfile.ZipFile(files[0], "w") as archive:
        call = b"\x80\x02cbuiltins\nbytearray\n\x8a\x05" + size + b"\x85R."
        archive.writestr("archive/data.pkl", call)


def _c(files: Sequence[Path]) -> None:
    text = files[0].read_text()
    files[0].write_text(re.sub(r"(static const float \w+)\[\d+\]", r"\1[900000000]", text, count=1))


def _any(files: Sequence[Path]) -> None:
    """For a format that has no bomb here yet: what no reader makes sense of."""
    for file in files:
        file.write_bytes(os.urandom(1 << 20))


BOMBS: dict[str, Callable[[Sequence[Path]], None]] = {
    **dict.fromkeys(("onnx", "onnxsim"), _onnx),
    **{"mnn": _mnn, "ncnn": _ncnn, "caffe": _caffe, "tflite": _tflite, "torch": _torch, "c": _c},
}


def make_bombs(folder: ArtifactFolder, target: Path, sound: str = "") -> ArtifactFolder:
    """Copy a folder, each file a bomb; the manifest of a stranger holds their right sums.

    Files of the format `sound` stay as they are.

    The checkpoint is no entry of it, or its refusal would hide all others.
    """
    shutil.copytree(folder.path, target)
    for artifact in folder.artifacts:
        if artifact.format != sound:
            BOMBS.get(artifact.format, _any)([target / name for name in artifact.files])
    manifest = json.loads((target / MANIFEST).read_text())
    kept = [each for each in manifest["artifacts"] if each["format"] != "torch"]
    for each in kept:
        each["verification"] = None
        each["sha256"] = {name: sha256_of(target / name) for name in each["files"]}
    (target / MANIFEST).write_text(json.dumps(manifest | {"artifacts": kept}))
    return ArtifactFolder.open(target)


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it took."""

    code: int
    said: str
    peak_mb: int
    seconds: float
    left: tuple[str, ...]
    """Processes and temporary files that it has not cleaned up, and sockets that it opened."""

    def problem(self) -> str | None:
        """Say what is not as it is promised for any input; None where all is."""
        if self.code not in (0, 1, 2, 3, 130) or "Traceback" in self.said:
            return f"exit code {self.code}: {self.said[-1500:]}"
        if self.code and not self.said.strip().splitlines()[-1].startswith("error: "):
            return f"no error in the last line: {self.said[-300:]}"
        if self.peak_mb > _MOST_MB:
            return f"took {self.peak_mb} MB"
        if self.seconds > _MOST_SECONDS:
            return f"took {self.seconds:.0f} s of processor time"
        return f"left {self.left}" if self.left else None


def run_watched(words: Sequence[object], scratch: Path, strace: str | None = None) -> Ended:
    """Run a command under limits like `ulimit`'s.

    Args:
        words: the command's arguments.
        scratch: an empty folder for what is temporary, the cache and the error output.
        strace: the program that watches for sockets; None for none.
    """
    mark = uuid.uuid4().hex
    for name in ("tmp", "cache"):
        (scratch / name).mkdir(parents=True, exist_ok=True)
    environment = os.environ | {
        "TMPDIR": str(scratch / "tmp"),
        "XDG_CACHE_HOME": str(scratch / "cache"),
        "OMP_NUM_THREADS": "1",
        "WATCHED": mark,
    }
    calls = scratch / "calls"
    watch = [strace, "-f", "-qq", "-e", "trace=socket", "-o", str(calls)] if strace else []
    with (scratch / "said").open("w+", errors="replace") as said:
        process = subprocess.Popen(
            [*watch, sys.executable, "-m", "ultraface_deploy", *map(str, words)],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (_LIMIT, _LIMIT)),
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        text = said.read()
    left = [*_marked(mark), *(path.name for path in (scratch / "tmp").iterdir())]
    if strace:
        left += re.findall(r"socket\(AF_(?:INET6?|PACKET).*", calls.read_text(errors="replace"))
    seconds = used.ru_utime + used.ru_stime
    return Ended(process.returncode, text, used.ru_maxrss >> 10, seconds, tuple(left))


def _marked(mark: str) -> list[str]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("WATCHED") == mark:
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found
