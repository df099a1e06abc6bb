"""Against an sshd of our own on loopback: a user process on a high port, gone afterwards."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.bench.made import measurement, report
from tests.conftest import ROOT, hear_ctrl_c
from ultraface_deploy.artifacts.folder import MANIFEST, ArtifactFolder
from ultraface_deploy.bench import board as on_a_board
from ultraface_deploy.bench.board import remove
from ultraface_deploy.bench.plan import Configuration, configurations
from ultraface_deploy.bench.remote import measure_on_hosts
from ultraface_deploy.bench.result import BenchReport, Failure, merged
from ultraface_deploy.bench.run import BenchSettings
from ultraface_deploy.bench.talk import Connections
from ultraface_deploy.errors import InputError, MissingDependency, RemoteFailed

SHORT = BenchSettings(
    min_launches=1, max_launches=1, launch_seconds=0.06, round_seconds=0.03, warm_up_seconds=0.1
)


@dataclass
class Board:
    """A running sshd, its folder, and where its sessions put temporary files."""

    folder: Path
    port: int

    @property
    def temporary(self) -> Path:
        return self.folder / "tmp"

    def left_behind(self) -> list[Path]:
        return list(self.temporary.glob("ultraface-bench-*"))


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch) -> Iterator[Board]:
    sshd = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
    if sshd is None or shutil.which("ssh") is None:
        pytest.skip("needs sshd and ssh: apt-get install openssh-server openssh-client")
    if os.geteuid() == 0:
        # Where sshd, started by root, locks itself in; its package makes it when it starts.
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    # Not pytest's folder: sshd refuses keys below folders that others may write to.
    with tempfile.TemporaryDirectory(prefix="board-", dir=Path.home()) as name:
        folder = Path(name)
        (folder / "tmp").mkdir()
        for key in ("host", "user"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key)]
            subprocess.run(command, check=True)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        environment = f"PATH={Path(sys.executable).parent}:/usr/bin:/bin TMPDIR={folder / 'tmp'}"
        (folder / "sshd_config").write_text(
            f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {folder / 'host'}\nPidFile none\n"
            f"AuthorizedKeysFile {folder / 'user.pub'}\nPasswordAuthentication no\nUsePAM no\n"
            f"StrictModes no\nPermitRootLogin yes\nSetEnv {environment} HOME={folder}\n"
        )
        public = (folder / "host.pub").read_text()
        (folder / "known").write_text(f"[127.0.0.1]:{port} {public}")
        write_client(folder, port, "known")
        monkeypatch.setenv("ULTRAFACE_DEPLOY_SSH", f"ssh -F {folder / 'ssh_config'}")
        log = (folder / "log").open("w")
        server = subprocess.Popen([sshd, "-D", "-e", "-f", folder / "sshd_config"], stderr=log)
        try:
            wait_for(port)
            yield Board(folder, port)
        finally:
            server.terminate()
            server.wait()
            log.close()


def write_client(folder: Path, port: int, known_hosts: str) -> None:
    (folder / "ssh_config").write_text(
        f"Host board twin\n  HostName 127.0.0.1\n  Port {port}\n  IdentityFile {folder / 'user'}\n"
        f"  IdentitiesOnly yes\n  UserKnownHostsFile {folder / known_hosts}\n"
        "  GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n  HostKeyAlias "
        f"[127.0.0.1]:{port}\n"
        "Host nowhere\n  HostName 127.0.0.1\n  Port 1\n"
    )


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("sshd did not start")


@pytest.fixture
def found(folder: ArtifactFolder) -> list[Configuration]:
    return configurations([folder.path], ["opencv"])


@pytest.mark.slow
def test_measures_on_several_hosts_and_leaves_nothing(
    board: Board, found: list[Configuration]
) -> None:
    seen: list[str] = []
    reports, failures = measure_on_hosts(
        ["board", "twin", "nowhere"], found, SHORT, on_progress=lambda host, _: seen.append(host)
    )
    assert list(reports) == ["board", "twin"], failures
    assert "refused" in str(failures["nowhere"])
    assert sorted(seen) == ["board", "twin"]
    both = merged(reports)
    assert {row.host for row in both.rows("inference")} == {"board", "twin"}
    assert all(m.folder == str(found[0].folder.path) for m in both.measurements)
    assert BenchReport.from_dict(both.to_dict()) == both
    assert board.left_behind() == []


@pytest.mark.slow
def test_a_lost_connection_ends_the_benchmark_and_leaves_nothing(
    board: Board, found: list[Configuration]
) -> None:
    def cut(host: str, progress: object) -> None:
        # As when the cable is pulled: this side of the connection dies at once.
        mine = subprocess.run(
            ["pgrep", "-f", f"ssh -F {board.folder / 'ssh_config'}"],
            capture_output=True,
            text=True,
            check=True,
        )
        for pid in mine.stdout.split():
            os.kill(int(pid), signal.SIGKILL)

    long = BenchSettings(min_launches=1, max_launches=1, launch_seconds=30)
    reports, failures = measure_on_hosts(["board"], found, long, on_progress=cut)
    assert reports == {}
    assert "board" in failures
    deadline = time.monotonic() + 60
    while board.left_behind() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert board.left_behind() == []


def test_a_folder_goes_while_somebody_still_writes_into_it(tmp_path: Path) -> None:
    """A killed benchmark's workers end a moment after it, and Python writes what it compiles."""
    folder = tmp_path / "ultraface-bench-1"
    folder.mkdir()
    writes = (
        "import itertools, sys, time\n"
        "from pathlib import Path\n"
        "end = time.monotonic() + 1\n"
        "for index in itertools.count():\n"
        "    try:\n"
        "        (Path(sys.argv[1]) / str(index)).write_text('')\n"
        "    except FileNotFoundError:\n"
        "        break\n"
        "    if time.monotonic() > end: break\n"
    )
    with subprocess.Popen([sys.executable, "-c", writes, str(folder)]):
        while not any(folder.iterdir()):
            time.sleep(0.001)
        remove(folder)
    assert not folder.exists()


def test_an_unknown_host_key_is_no_way_in(board: Board, found: list[Configuration]) -> None:
    (board.folder / "empty").write_text("")
    write_client(board.folder, board.port, "empty")
    _, failures = measure_on_hosts(["board"], found, SHORT)
    assert "Host key verification failed" in str(failures["board"])
    assert isinstance(failures["board"], RemoteFailed)


@pytest.mark.parametrize(
    ("python", "reason"),
    [
        ("print('3.7'); import sys; sys.version_info = (3, 7)", "3.10 or newer is needed"),
        ("import shutil; shutil.disk_usage = lambda p: type('U', (), {'free': 1})", "no room for"),
        ("import subprocess; subprocess.call = lambda *a, **k: 1", "`bootstrap`"),
        (None, "has no python3"),
    ],
)
def test_a_board_that_cannot_says_why_and_stays_as_it_was(
    python: str | None, reason: str, board: Board, found: list[Configuration]
) -> None:
    """`python3` on the board is one that first executes a line of ours."""
    programs = board.folder / "bin"
    programs.mkdir()
    if python is not None:
        line = shlex.quote(python)
        (programs / "python3").write_text(
            f'#!/bin/sh\nshift\nexec {sys.executable} -c {line}"\n$1"\n'
        )
        (programs / "python3").chmod(0o755)
    server = board.folder / "sshd_config"
    elsewhere = f"PATH={programs}" if python is None else f"PATH={programs}:/usr/bin:/bin"
    before = f"PATH={Path(sys.executable).parent}:/usr/bin:/bin"
    server.write_text(server.read_text().replace(before, elsewhere))
    # A new connection reads the configuration of the server that accepted it: restart it.
    other = restarted(board)
    try:
        _, failures = measure_on_hosts(["board"], found, SHORT)
    finally:
        other.terminate()
        other.wait()
    assert reason in str(failures["board"])
    assert board.left_behind() == []
    assert not (board.folder / ".cache").exists()


def restarted(board: Board) -> subprocess.Popen[bytes]:
    """Start a second sshd with the changed configuration, on a port of its own."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = board.folder / "sshd_config"
    config.write_text(config.read_text().replace(f"Port {board.port}", f"Port {port}"))
    known = board.folder / "known"
    known.write_text(known.read_text().replace(str(board.port), str(port)))
    write_client(board.folder, port, "known")
    sshd = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
    assert sshd is not None
    server = subprocess.Popen([sshd, "-D", "-e", "-f", config], stderr=subprocess.DEVNULL)
    wait_for(port)
    return server


def test_what_is_no_host_is_refused(
    found: list[Configuration], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="`host`"):
        measure_on_hosts(["-oProxyCommand=evil"], found, SHORT)
    monkeypatch.setenv("ULTRAFACE_DEPLOY_SSH", "no-such-ssh")
    with pytest.raises(MissingDependency, match="openssh-client"):
        measure_on_hosts(["board"], found, SHORT)


def test_ctrl_c_does_not_wait_for_the_board(folder: ArtifactFolder, tmp_path: Path) -> None:
    ssh = tmp_path / "ssh"
    ssh.write_text("#!/bin/sh\necho connected >&2\nexec sleep 60\n")
    ssh.chmod(0o755)
    command = ("bench", str(folder.path), "--backend", "opencv", "--host", "board")
    process = subprocess.Popen(
        [sys.executable, "-m", "ultraface_deploy", *command],
        cwd=ROOT,
        env=os.environ | {"ULTRAFACE_DEPLOY_SSH": str(ssh)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        preexec_fn=hear_ctrl_c,
    )

    def started() -> bool:
        return any(
            child.cmdline()[:1] == ["sleep"] for child in psutil.Process(process.pid).children()
        )

    deadline = time.monotonic() + 60
    while not started() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=45)
    assert process.returncode == 130, said.decode()
    assert "Traceback" not in said.decode()


def test_a_connection_that_comes_too_late_ends_at_once() -> None:
    connections = Connections()
    connections.end()
    with subprocess.Popen(["sleep", "60"]) as late:
        connections.add(late)
        assert late.wait(10) == -signal.SIGKILL


@pytest.fixture
def local_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An ssh that runs everything here; returns where its temporary folders are made."""
    (tmp_path / "bin").mkdir()
    # Not a link, by which Python would not find the environment that it belongs to.
    (tmp_path / "bin" / "python3").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (tmp_path / "bin" / "python3").chmod(0o755)
    (tmp_path / "tmp").mkdir()
    ssh = tmp_path / "ssh"
    path, temporary = tmp_path / "bin", tmp_path / "tmp"
    ssh.write_text(
        "#!/bin/sh\nfor last; do :; done\nunset PYTHONPATH\n"
        f'PATH={path}:$PATH TMPDIR={temporary} exec sh -c "$last"\n'
    )
    ssh.chmod(0o755)
    monkeypatch.setenv("ULTRAFACE_DEPLOY_SSH", str(ssh))
    return temporary


def test_a_name_of_a_hundred_letters(folder: ArtifactFolder, local_ssh: Path) -> None:
    """The longest that a model may have."""
    manifest = (folder.path / MANIFEST).read_text()
    name = "n" * 100
    longer = manifest.replace(folder.spec.name, name)
    for path in list(folder.path.iterdir()):
        path.rename(path.with_name(path.name.replace(folder.spec.name, name)))
    (folder.path / MANIFEST).write_text(longer)
    renamed = ArtifactFolder.open(folder.path)
    assert len(renamed.find("ncnn").files[0]) > 100
    found = configurations([renamed.path], ["ncnn"])
    reports, failures = measure_on_hosts(["board"], found, SHORT)
    assert failures == {}
    assert reports["board"].measurements[0].model == name
    assert not list(local_ssh.iterdir())


def test_a_host_that_fails_is_in_the_result() -> None:
    failed = Failure("slim-320", "ncnn", "ncnn", "fp32", 1, "twin: ssh failed", "twin")
    both = merged({"board": report(measurement())}, [failed])
    assert both.failures == (failed,)
    assert BenchReport.from_dict(both.to_dict()) == both


BOARD = """
import signal, sys
from pathlib import Path
from tests.strikes import Strikes
from ultraface_deploy.bench import board

temporary = Path(sys.argv[1])
board.unpack = lambda size, folder: (folder / "file").touch()
board.find_python = lambda request: "python"
board.run = lambda python, folder: {}
functions = [board.in_a_folder, board.remove, board.on_end, board.leave]
codes = {function.__code__ for function in functions}
strikes = Strikes(signal.SIGHUP, False, codes.__contains__)
lines, came = 0, True
while came:
    lines += 1
    board.on_end(board.leave)
    strikes.begin(lines)
    try:
        board.in_a_folder({"bytes": 0})
    except SystemExit:
        pass
    came = strikes.came()
    if there := list(temporary.iterdir()):
        sys.exit(f"told before line {lines}: {there}")
print(lines)
"""


def test_a_board_is_clean_whenever_its_session_ends(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BOARD, str(tmp_path)],
        **{"cwd": ROOT, "capture_output": True, "text": True, "timeout": 120},
        env=os.environ | {"TMPDIR": str(tmp_path)},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) > 10


def test_one_environment_on_a_board_is_made_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two benchmarks that both lack it: the second waits, and finds it."""
    inside = tmp_path / ".cache/ultraface-deploy/bench-venv/bin/python"
    makers, waiting, honest = [], threading.Event(), on_a_board.alone

    def make(environment: Path, *_: object) -> None:
        makers.append(environment)
        assert waiting.wait(60)
        inside.parent.mkdir(parents=True)
        inside.touch()

    @contextmanager
    def alone(folder: Path) -> Iterator[None]:
        if makers:
            waiting.set()
        with honest(folder):
            yield

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(
        on_a_board, "lacking", lambda python, modules: python != str(inside) and ["cv2"]
    )
    monkeypatch.setattr(on_a_board, "make", make)
    monkeypatch.setattr(on_a_board, "alone", alone)
    request = {"modules": {"cv2": "opencv"}, "bootstrap": True}
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(on_a_board.find_python, request)
        while not makers:
            time.sleep(0.01)
        second = threads.submit(on_a_board.find_python, request)
        assert first.result() == second.result() == str(inside)
    assert len(makers) == 1


def test_processes_that_have_ended_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their numbers may be those of others when all the rest is ended."""
    killed: list[int] = []
    monkeypatch.setattr("ultraface_deploy.bench.talk.kill", lambda each: killed.append(each.pid))
    connections = Connections()
    with subprocess.Popen(["true"]) as ended, subprocess.Popen(["true"]) as other:
        connections.add(ended)
        connections.add(other)
        connections.remove(ended)
        connections.end()
    assert killed == [other.pid]
