"""The same benchmark on boards, over the system's own ssh and its configuration."""

from __future__ import annotations

import io
import json
import shlex
import subprocess
import tarfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

from ultraface_deploy.artifacts.folder import MANIFEST
from ultraface_deploy.backends import get_backend
from ultraface_deploy.bench.layout import NEEDED, installed_files
from ultraface_deploy.bench.plan import Configuration
from ultraface_deploy.bench.result import BenchReport
from ultraface_deploy.bench.run import BenchSettings
from ultraface_deploy.bench.ssh import ssh_command, ssh_failed
from ultraface_deploy.bench.talk import Connections, Note, OnProgress, kill, talk
from ultraface_deploy.errors import RemoteFailed
from ultraface_deploy.safe.images import DEMO_PHOTO

# ssh itself gives up after 15 s; a stand-in for it may not.
_ANSWER_S = 20.0


def require_reachable(hosts: Sequence[str], identity: Path | None = None) -> None:
    """Find out in seconds that no host answers, before minutes of converting for them.

    One that does is enough: the failures of the others are reported beside its results.

    Raises:
        MissingDependency: there is no ssh here.
        InputError: a host or the identity file is wrong.
        RemoteFailed: none answers; says why the first does not.
    """
    commands = [(host, ssh_command(host, identity, ["true"])) for host in hosts]
    connections = Connections()
    with ThreadPoolExecutor(len(hosts)) as pool:
        try:
            ended = list(
                pool.map(lambda each: _unreachable(each[0], each[1], connections), commands)
            )
        except BaseException:
            connections.end()
            raise
    if all(ended):
        raise next(failure for failure in ended if failure)


def _unreachable(
    host: str, command: Sequence[str], connections: Connections
) -> RemoteFailed | None:
    """Return why ssh does not reach a host, None where it does."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    connections.add(process)
    try:
        _, heard = process.communicate(timeout=_ANSWER_S)
    except subprocess.TimeoutExpired:
        kill(process)
        process.communicate()
        return ssh_failed(host, f"no answer for {_ANSWER_S:.0f} s")
    finally:
        connections.remove(process)
    if process.returncode != 255:
        return None
    lines = heard.decode(errors="replace").strip().splitlines() or ["no message"]
    return ssh_failed(host, lines[-1][:200])


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

    connections = Connections()

    def one(host: str) -> BenchReport | RemoteFailed:
        try:
            return _with_folders(
                talk(host, commands[host], data, connections, on_progress, note), local
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
    # GNU's format knows names of more than 100 letters, and every Python 3 reads it.
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
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
