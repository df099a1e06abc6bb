"""Watches for 40 seconds whether anything opens a socket: `make attack`; needs strace.

    python -m tests.faults.watch coreml kmodel   # only what has one of the words in its name

Each program does one thing and then lives on: a runtime that is loaded, in the process and in a
child of it; a format that is written in each precision; a project that is packaged; all other
packages, imported; a benchmark over `--host`. Runtimes, formats and packages are those of the
registries and of pyproject.toml, so that what comes in is watched too. Eight run at the same time.
`serve` opens sockets, on this machine alone.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import packages_distributions, requires
from importlib.util import find_spec
from pathlib import Path

from tests.conftest import ROOT
from ultraface_deploy.artifacts.choose import best
from ultraface_deploy.artifacts.convert import convert
from ultraface_deploy.artifacts.folder import ArtifactFolder
from ultraface_deploy.artifacts.source import resolve_source
from ultraface_deploy.backends import backend_names, get_backend
from ultraface_deploy.converters import Format, get_format, target_names
from ultraface_deploy.safe import toolbox
from ultraface_deploy.sdk.project import RUNTIMES

SECONDS = 40
# ONNX Runtime reports its use after half a minute; what is sent is looked up first.
_SOCKET = re.compile(r"socket\(AF_(?:INET6?|PACKET).*")
_LISTENS = "serve"
_ADDRESS = re.compile(r"(?:connect|bind|sendto|sendmsg)\(.*sa_family=AF_INET.*")
_STRACE = ("strace", "-f", "-qq", "-e", "trace=socket,connect,bind,sendto,sendmsg,execve", "-o")
_DETECT = """
from ultraface_deploy import Detector
from ultraface_deploy.safe.images import DEMO_PHOTO, read_image
detector = Detector.open({folder!r}, {name!r}, {precision!r})
print(len(detector.detect(read_image(DEMO_PHOTO)).boxes))
"""
_CONVERT = """
from pathlib import Path
from ultraface_deploy.artifacts.convert import convert
from ultraface_deploy.artifacts.source import resolve_source
convert(resolve_source("slim-320", (128, 96)), [{name!r}], {precision!r}, Path({output!r}))
"""
_IN_CHILD = """
from ultraface_deploy.safe.child import run_in_child
run_in_child("tests.faults.watch:linger", {{"program": {program!r}}}, what="watched", timeout=600)
"""
_IMPORT = """
import importlib, ultraface_deploy
for name in {names!r}:
    try:
        importlib.import_module(name)
    except Exception as error:
        print(name, type(error).__name__, error)
"""
_SERVE = f"""
import os, signal, socket, threading
from pathlib import Path
from tests.serve.load import send_damaged, write_clip
from ultraface_deploy.cli.app import main
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
write_clip(Path({{clip!r}}))
threading.Timer({SECONDS / 2}, send_damaged, (port, 20)).start()
threading.Timer({SECONDS}, os.kill, (os.getpid(), signal.SIGINT)).start()
main(["serve", "--source", {{clip!r}}, "--port", str(port)])
"""
# Imported alone, it looks up the host of its telemetry; here nothing imports it but this.
_IMPORT_OPENVINO = """
from ultraface_deploy.backends.openvino import import_openvino
import_openvino()
"""
_PACKAGE = """
from ultraface_deploy.cli.app import main
main(["package", {folder!r}, "--runtime", {name!r}, "--precision", "fp32", "-o", {output!r}])
"""
# Its detector, with two threads, lives on in Node.js.
_WEB = f"""
import os
from pathlib import Path
from ultraface_deploy.cli.app import main
main(["package", {{folder!r}}, "--runtime", "web", "--precision", "fp32", "-o", {{output!r}}])
program = Path({{output!r}}, "program.mjs")
program.write_text(
    "import {{{{ Detector }}}} from './detector.js';"
    "const detector = await Detector.load({{{{ threads: 2 }}}});"
    "const picture = {{{{ data: new Uint8Array(32 * 24 * 4), width: 32, height: 24 }}}};"
    "await detector.detect(picture);"
    "setTimeout(() => detector.detect(picture).then(() => process.exit()), {SECONDS * 1000});"
)
os.execvp("node", ["node", str(program)])
"""
_LIVE_ON = f"\nimport time; time.sleep({SECONDS})\n"
_HOST = """
import sys
from ultraface_deploy.cli.app import main
main(["bench", "run", {folder!r}, "--backend", "all", "--host", "board", "--seconds", "30",
      "--launches", "1"])
"""


def linger(program: str) -> None:
    """Do what a program says in a child process, and live on there."""
    exec(program + _LIVE_ON, {})


def programs(folder: Path, scratch: Path) -> Iterator[tuple[str, str]]:
    """Yield what is watched: its name, and the program."""
    made = ArtifactFolder.open(folder)
    for name in backend_names():
        backend = get_backend(name)
        precision = next((each for each in ("fp32", "int8") if best(made, backend, each)), None)
        if backend.available() and precision is not None:
            detect = _DETECT.format(folder=str(folder), name=name, precision=precision)
            yield name, detect + _LIVE_ON
            yield f"{name} in a child", _IN_CHILD.format(program=detect)
    for name in target_names():
        record = get_format(name)
        for precision in record.precisions if can_be_made(record) else ():
            output = str(scratch / f"{name}-{precision}")
            convert_it = _CONVERT.format(name=name, precision=precision, output=output)
            yield f"converting to {name} in {precision}", convert_it + _LIVE_ON
    for name in RUNTIMES:
        output = str(scratch / f"project-{name}")
        yield (
            f"packaging for {name}",
            _PACKAGE.format(folder=str(folder), name=name, output=output) + _LIVE_ON,
        )
    if find_spec("ziglang") is not None and shutil.which("node"):
        yield "web", _WEB.format(folder=str(folder), output=str(scratch / "web"))
    for name in imported():
        alone = _IMPORT.format(names=[name])
        yield f"importing {name}", (_IMPORT_OPENVINO if name == "openvino" else alone) + _LIVE_ON
    if find_spec("starlette") is not None:
        yield _LISTENS, _SERVE.format(clip=str(scratch / "clip.avi"))
    yield "bench --host", _HOST.format(folder=str(folder)) + _LIVE_ON


def can_be_made(record: Format) -> bool:
    """Whether the packages and the maker's tool of a format are installed."""
    has_tool = record.tool is None or toolbox.installed(record.tool) is not None
    return record.missing() is None and has_tool


def make_all(folder: Path) -> None:
    """Write every format that can be written here, in FP32 or else in INT8."""
    source = resolve_source("slim-320", (128, 96))
    for precision in ("fp32", "int8"):
        names = [
            record.name
            for record in map(get_format, target_names())
            if can_be_made(record) and next(iter(record.precisions)) == precision
        ]
        convert(source, names, precision, output=folder)


def imported() -> list[str]:
    """Return the modules of all packages that this one can use, those of its own tests aside."""
    wanted = set()
    for line in requires("ultraface-deploy") or []:
        if not re.search(r"extra == .(?:dev|docs).", line):
            wanted.add(_plain(re.split(r"[^\w.-]", line, maxsplit=1)[0]))
    named = {
        module
        for module, distributions in packages_distributions().items()
        if module.isidentifier()
        and not module.startswith("_")
        and any(_plain(each) in wanted for each in distributions)
    }
    named |= {module for name in target_names() for module in get_format(name).packages}
    named |= {get_backend(name).module for name in backend_names()}
    # Imported by its backend alone, which leaves its telemetry out and is watched.
    named.discard("openvino")
    return sorted(module for module in named if find_spec(module) is not None)


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def found_in(log: Path, code: int, listens: bool = False) -> str | None:
    """Say what a program did that it must not, or that it failed; None for neither."""
    calls = log.read_text(errors="replace")
    if listens:
        used = _ADDRESS.findall(calls)
        if elsewhere := [call for call in used if 'inet_addr("127.0.0.1")' not in call]:
            return f"{len(elsewhere)} addresses, {elsewhere[0]}"
        if not used:
            return "no socket was seen"
    elif found := _SOCKET.findall(calls):
        return f"{len(found)} sockets, {found[0]}"
    if code or "execve" not in calls:
        return f"ended with {code}: {log.with_suffix('.err').read_text(errors='replace')[-300:]}"
    return None


def watched(program: str, log: Path, ssh: Path) -> subprocess.Popen[bytes]:
    """Start a program under strace."""
    environment = {key: value for key, value in os.environ.items() if "TELEMETRY" not in key}
    environment |= {"OMP_NUM_THREADS": "1", "ULTRAFACE_DEPLOY_SSH": str(ssh)}
    environment["PYTHONPATH"] = str(ROOT)
    return subprocess.Popen(
        [*_STRACE, log, sys.executable, "-c", program],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=log.with_suffix(".err").open("wb"),
    )


def main() -> None:
    if shutil.which("strace") is None:
        sys.exit("needs strace: apt-get install strace")
    bad = False
    with tempfile.TemporaryDirectory(prefix="watch-") as name:
        scratch = Path(name)
        folder = scratch / "folder"
        make_all(folder)
        ssh = scratch / "ssh"
        python = scratch / "python3"
        python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        ssh.write_text(
            "#!/bin/sh\nfor last; do :; done\nunset PYTHONPATH\n"
            f'PATH={scratch}:$PATH exec sh -c "$last"\n'
        )
        for program in (ssh, python):
            program.chmod(0o755)
        wanted = [
            (what, program)
            for what, program in programs(folder, scratch)
            if len(sys.argv) < 2 or any(word in what for word in sys.argv[1:])
        ]
        # So many at a time, or a busy machine takes longer to start them than they live.
        size = 8
        for first in range(0, len(wanted), size):
            running = [
                (what, watched(program, scratch / f"{first + i}.calls", ssh), first + i)
                for i, (what, program) in enumerate(wanted[first : first + size])
            ]
            for what, process, number in running:
                process.wait()
                listens = what == _LISTENS
                problem = found_in(scratch / f"{number}.calls", process.returncode, listens)
                bad |= problem is not None
                fine = "sockets of this machine alone" if listens else "no socket"
                print(f"{what}: {problem or fine}", flush=True)
    sys.exit(bad)


if __name__ == "__main__":
    main()
