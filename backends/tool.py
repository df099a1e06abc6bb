"""A maker's tool in an environment of its own, as a backend: a script there computes.

The script stays loaded between runs. It reads tensors, float32 and contiguous, on its standard
input, and answers each on its standard output: 8 bytes, little endian, that say how long the rest
is, and an `.npz` with the outputs by name.
"""

from __future__ import annotations

import io
import os
import select
import struct
import tempfile
import time
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ultraface_deploy.agreement.comparison import Shown
from ultraface_deploy.backends.base import Backend, Session, Tensor
from ultraface_deploy.errors import BackendError
from ultraface_deploy.family.spec import ModelSpec
from ultraface_deploy.safe import toolbox
from ultraface_deploy.safe.child import last_line, start_program
from ultraface_deploy.safe.limits import Limit

_TIMEOUT_S = 300.0
_LENGTH = struct.Struct("<q")
# The outputs of a network of 1280x960 take 2 MB.
_MOST = 1 << 26


class ToolSession(Session):
    """An artifact that a script holds.

    Args:
        spec: what the network is.
        tool: the name of the environment, see `safe.toolbox`.
        script: what runs there.
        arguments: of the script.
        memory: bytes that it may allocate; None for what a model file may.
    """

    def __init__(
        self,
        spec: ModelSpec,
        tool: str,
        script: Path,
        arguments: Sequence[str],
        memory: int | None = None,
    ) -> None:
        super().__init__(spec)
        python = toolbox.require(tool)
        self._what = toolbox.find_tool(tool).short
        # Tools leave files where they run.
        self._folder = tempfile.TemporaryDirectory(prefix="ultraface-deploy-")
        self._said = Path(self._folder.name, "said")
        self._process = start_program(
            [str(python), "-I", str(script), *arguments],
            what=self._what,
            cwd=Path(self._folder.name),
            said=self._said,
            memory=memory or Limit.MODEL.bytes,
        )

    def _run(self, tensor: Tensor) -> Mapping[str, Tensor]:
        given = self._process.stdin
        assert given is not None
        until = time.monotonic() + _TIMEOUT_S
        try:
            given.write(np.ascontiguousarray(tensor, np.float32).tobytes())
            given.flush()
            (length,) = _LENGTH.unpack(self._read(_LENGTH.size, until))
            with np.load(io.BytesIO(self._read(length, until)), allow_pickle=False) as outputs:
                return {name: np.asarray(outputs[name], np.float32) for name in outputs.files}
        except (BrokenPipeError, EOFError):
            self._process.wait(timeout=10)
            raise BackendError(f"{self._what} ended{last_line(self._words())}") from None
        except (ValueError, OSError, zipfile.BadZipFile) as error:
            raise BackendError(f"{self._what} answers nonsense") from error

    def _read(self, size: int, until: float) -> bytes:
        answers = self._process.stdout
        assert answers is not None
        if not 0 <= size <= _MOST:
            raise ValueError("no length of an answer")
        content = bytearray()
        while len(content) < size:
            if not select.select([answers], [], [], max(0.0, until - time.monotonic()))[0]:
                self._process.kill()
                raise BackendError(f"{self._what} did not answer within {_TIMEOUT_S:.0f} s")
            if not (part := os.read(answers.fileno(), size - len(content))):
                raise EOFError
            content += part
        return bytes(content)

    def _words(self) -> str:
        return self._said.read_text(encoding="utf-8", errors="replace")

    def __del__(self) -> None:
        process = getattr(self, "_process", None)
        if process is None:
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            stream.close()
        self._folder.cleanup()


class ToolBackend(Backend):
    """What the backends of makers' tools have in common: they are simulators, and slow."""

    module = "subprocess"
    tool: str
    """The name of its environment."""

    def shows(self, format: str) -> Shown:
        """Say that it is the maker's simulator."""
        return "simulator"

    def available(self) -> bool:
        """Whether the tool was installed."""
        return toolbox.installed(self.tool) is not None

    def version(self) -> str | None:
        """Return the version that is installed, None where none is."""
        return toolbox.find_tool(self.tool).version if self.available() else None

    def require(self) -> None:
        """Refuse to go on without the tool.

        Raises:
            MissingDependency: names the command that installs it.
        """
        toolbox.require(self.tool)
