"""The same benchmark on boards, over the system's own ssh and its configuration."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from threading import Lock, Thread
from typing import IO, Any

from ultraface_deploy.artifacts.folder import MANIFEST
from ultraface_deploy.backends import get_backend
from ultraface_deploy.bench.layout import NEEDED, installed_files
from ultraface_deploy.bench.plan import Configuration
from ultraface_deploy.bench.result import BenchReport
from ultraface_deploy.bench.run import BenchProgress, BenchSettings
from ultraface_deploy.bench.ssh import ssh_command
from ultraface_deploy.errors import InputError, RemoteFailed
from ultraface_deploy.safe.files import PARSE_ERRORS
from ultraface_deploy.safe.images import DEMO_PHOTO
from ultraface_deploy.safe.limits import Limit

OnProgress = Callable[[str, BenchProgress], None]
Note = Callable[[str], None]
_PROGRESS = re.compile(r"([0-9]{1,9}) ([0-9]{1,9}) (.*)", re.ASCII)


def measure_on_hosts(
    hosts: Sequence[str],
    configurations: Sequence[Configuration],
    settings: BenchSettings,
    cores: str | None = None,
    bootstrap: bool = False,
    identity: Path | None = None,
    on_progress: OnProgress = lambda host, progress: None,
    note: Note = lambda message: None,
) -> tuple[dict[str, BenchReport], dict[str, RemoteFailed]]:
    """Run the configurations on all hosts at the same time.

    The toolkit and the artifacts are copied to a temporary folder there, which is removed at the
    end, also when the connection is lost.

    Args:
        hosts: as for ssh: `pi@board`, `pi@board:2222`, or a name from its configuration.
        configurations: what to time.
        settings: how long.
        cores: as for `--cores`, on the board.
        bootstrap: make a virtual environment with the runtimes there if needed.
        identity: private key file for ssh; None for what its configuration says.
        on_progress: called with the host as each launch begins there; from several threads.
        note: told what a host does besides.

    Returns:
        The reports of the hosts that made it, and the failures of the others.

    Raises:
        MissingDependency: there is no ssh here.
        InputError: a host or the identity file is wrong.
    """
    commands = {host: ssh_command(host, identity, [_command()]) for host in hosts}
    archive = _archive(configurations, settings, cores)
    request = {"bytes": len(archive), "bootstrap": bootstrap, "modules": _modules(configurations)}
    data = json.dumps(request).encode() + b"\n" + archive
    local = _folders(configurations)

    connections = _Connections()

    def one(host: str) -> BenchReport | RemoteFailed:
        try:
            return _with_folders(
                _run(host, commands[host], data, on_progress, note, connections), local
            )
        except RemoteFailed as error:
            return error
        except (ValueError, IndexError) as error:
            return RemoteFailed(f"{host}: answered something else ({error})")

    with ThreadPoolExecutor(len(hosts)) as pool:
        try:
            ended = dict(zip(hosts, pool.map(one, hosts), strict=True))
        except BaseException:
            # The pool waits for its threads, and they for what the boards say.
            connections.end()
            raise
    reports = {host: end for host, end in ended.items() if isinstance(end, BenchReport)}
    failures = {host: end for host, end in ended.items() if isinstance(end, RemoteFailed)}
    return reports, failures


class _Connections:
    """The ssh processes of all hosts, which end together when nobody waits any more."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._ended = False

    def add(self, process: subprocess.Popen[bytes]) -> None:
        """Take a process in; one that comes too late ends at once."""
        with self._lock:
            self._processes.append(process)
            if self._ended:
                process.kill()

    def end(self) -> None:
        """End those that are there, and those still to come."""
        with self._lock:
            self._ended = True
            for process in self._processes:
                process.kill()


def _run(
    host: str,
    command: Sequence[str],
    data: bytes,
    on_progress: OnProgress,
    note: Note,
    connections: _Connections,
) -> BenchReport:
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    connections.add(process)
    assert process.stdin is not None and process.stdout is not None
    other_lines: list[str] = []
    listener = Thread(target=_listen, args=(process, host, on_progress, note, other_lines))
    listener.start()
    # In a thread of its own: a board that talks before it listens would have both wait for ever.
    speaker = Thread(target=_tell, args=(process.stdin, data))
    speaker.start()
    try:
        # Standard input stays open: its end tells the board that nobody waits any more.
        most = Limit.TEXT.bytes
        answer = process.stdout.read(most).decode(errors="replace")
        if len(answer) == most:
            raise RemoteFailed(f"{host}: answered more than {most >> 20} MiB")
        code = process.wait()
    finally:
        if process.poll() is None:
            process.kill()
        listener.join()
        speaker.join()
        for stream in (process.stdin, process.stdout):
            _close(stream)
    return _report(host, answer, code, other_lines)


def _tell(stream: IO[bytes], data: bytes) -> None:
    # Where ssh is gone already, its standard error says why.
    with contextlib.suppress(OSError, ValueError):
        stream.write(data)
        stream.flush()


def _report(host: str, answer: str, code: int, lines: Sequence[str]) -> BenchReport:
    last = lines[-1] if lines else "no message"
    if code == 255:
        raise RemoteFailed(f"{host}: ssh failed: {last}")
    if code == 127:
        raise RemoteFailed(f"{host}: has no python3")
    try:
        content = json.loads(answer.splitlines()[-1])
    except (*PARSE_ERRORS, IndexError):
        raise RemoteFailed(f"{host}: ended with code {code}: {last}") from None
    if not isinstance(content, dict):
        raise RemoteFailed(f"{host}: answered something else ({str(content)[:60]})")
    if "error" in content:
        said = f" ({last})" if lines else ""
        raise RemoteFailed(f"{host}: {content['error']}{said}")
    try:
        return BenchReport.from_dict(content["report"])
    except (*PARSE_ERRORS, InputError) as error:
        raise RemoteFailed(f"{host}: answered something else ({error})") from error


def _listen(
    process: subprocess.Popen[bytes],
    host: str,
    on_progress: OnProgress,
    note: Note,
    other_lines: list[str],
) -> None:
    assert process.stderr is not None
    with process.stderr as stream:
        for raw in stream:
            kind, _, rest = raw.decode(errors="replace").strip().partition(" ")
            if kind == "@progress" and (told := _PROGRESS.fullmatch(rest)):
                on_progress(host, BenchProgress(int(told[1]), int(told[2]), told[3]))
            elif kind == "@note":
                note(f"{host}: {rest}")
            elif kind:
                other_lines.append(f"{kind} {rest}".strip()[:200])


def _command() -> str:
    script = Path(__file__).with_name("board.py").read_text()
    return f"exec python3 -c {shlex.quote(script)}"


def _modules(configurations: Sequence[Configuration]) -> dict[str, str]:
    # The original network, which everything is verified against, runs in ONNX Runtime there, and
    # OpenCV prepares the pictures.
    names = {"onnxruntime", "opencv", *(c.backend for c in configurations)}
    backends = [get_backend(name) for name in names]
    return NEEDED | {backend.module: backend.requirement for backend in backends}


def _archive(
    configurations: Sequence[Configuration], settings: BenchSettings, cores: str | None
) -> bytes:
    """Return a tar archive of the toolkit, the artifacts, the photograph and the job."""
    folders = _folders(configurations)
    image = Path(settings.image)
    shipped = image == DEMO_PHOTO
    photo = f"ultraface_deploy/photos/{image.name}" if shipped else f"photo{image.suffix}"
    job = {
        "folders": [f"artifacts/{index}" for index in range(len(folders))],
        "configurations": [
            (folders.index(c.folder.path), c.artifact.id, c.backend, c.threads, c.name)
            for c in configurations
        ],
        "settings": asdict(settings) | {"image": photo},
        "cores": cores,
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, path in (*installed_files(), *_artifacts(configurations, folders)):
            archive.add(path, name, recursive=False)
        if not shipped:
            archive.add(image, photo, recursive=False)
        text = json.dumps(job).encode()
        entry = tarfile.TarInfo("job.json")
        entry.size = len(text)
        archive.addfile(entry, io.BytesIO(text))
    return buffer.getvalue()


def _folders(configurations: Sequence[Configuration]) -> list[Path]:
    """The artifact folders, each by its number on a board."""
    return list(dict.fromkeys(c.folder.path for c in configurations))


def _artifacts(
    configurations: Sequence[Configuration], folders: Sequence[Path]
) -> Iterator[tuple[str, Path]]:
    for index, path in enumerate(folders):
        of_folder = [c for c in configurations if c.folder.path == path]
        folder = of_folder[0].folder
        wanted = {c.artifact.id for c in of_folder} | {"torch", "onnx"}
        yield f"artifacts/{index}/{MANIFEST}", path / MANIFEST
        for artifact in folder.artifacts:
            if artifact.id in wanted:
                for file in folder.intact_files(artifact):
                    yield f"artifacts/{index}/{file.name}", file


def _with_folders(report: BenchReport, local: Sequence[Path]) -> BenchReport:
    """Name the folders as they are called here, not by their numbers there."""
    measurements = tuple(
        replace(m, folder=str(local[int(Path(m.folder).name)])) for m in report.measurements
    )
    return replace(report, measurements=measurements)


def _close(stream: Any) -> None:
    with contextlib.suppress(BrokenPipeError):
        stream.close()
