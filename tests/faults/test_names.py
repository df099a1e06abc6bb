"""Names that are addresses, formulas or orders to a terminal: they stay names."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.bench.made import measurement, report
from tests.conftest import ROOT, Cli, CliResult
from ultraface_deploy.artifacts.folder import MANIFEST, ArtifactFolder
from ultraface_deploy.bench.remote import measure_on_hosts
from ultraface_deploy.bench.run import BenchSettings
from ultraface_deploy.detect.opening import open_source
from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.images import DEMO_PHOTO

COMMAND = [sys.executable, "-m", "ultraface_deploy"]
# FFmpeg takes what precedes the colon for a protocol.
PROTOCOLS = [
    *("http:{}", "https:{}", "tcp:{}", "udp:{}", "rtsp:{}", "rtmp:{}", "rtp:{}", "tls:{}"),
    *("ftp:{}", "gopher:{}", "srt:{}", "hls+http:{}", "icecast:{}", "mmsh:{}", "sftp:{}"),
    *("cache:http:{}", "concat:http:{}", "async:tcp:{}", "crypto:tcp:{}", "subfile,,:tcp:{}"),
    *("data:{}", "pipe:{}", "unix:{}", "tee:{}", "file:{}", "tcp:%2f%2f{}", "http:\\\\{}"),
]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four pictures of noise."""
    path = tmp_path_factory.mktemp("video") / "a.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48))
    for picture in np.random.default_rng(0).integers(0, 255, (4, 48, 64, 3), dtype=np.uint8):
        writer.write(picture)
    writer.release()
    return path


def test_a_file_is_no_address(video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its protocol would connect to, or listen at, the port in its name."""
    monkeypatch.chdir(tmp_path)
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as packets,
    ):
        port = listening.getsockname()[1]
        packets.bind(("127.0.0.1", port))
        for connected in (listening, packets):
            connected.settimeout(0.05)
        for pattern in PROTOCOLS:
            name = pattern.format(f"127.0.0.1:{port}?.avi")
            shutil.copy(video, name)
            assert len(list(open_source(name))) == 4, name
        with pytest.raises(TimeoutError):
            listening.accept()
        with pytest.raises(TimeoutError):
            packets.recv(1)


def test_an_output_is_no_address(
    cli: Cli, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.05)
        name = f"tcp:127.0.0.1:{listening.getsockname()[1]}?.avi"
        assert cli("detect", video, "--limit", "2", "-o", name).code == 0
        assert Path(name).stat().st_size > 1000
        with pytest.raises(TimeoutError):
            listening.accept()


def test_a_video_whose_name_is_not_utf8(cli: Cli, video: Path, tmp_path: Path) -> None:
    name = tmp_path / os.fsdecode(b"v\xff\x1b[31m.avi")
    shutil.copy(video, name)
    result = cli("detect", name, "--limit", "2", "-o", tmp_path / os.fsdecode(b"o\xff.avi"))
    assert result.code == 0, result.err
    assert "\x1b" not in result.out + result.err
    assert (tmp_path / os.fsdecode(b"o\xff.avi")).stat().st_size > 1000


@pytest.mark.parametrize(
    ("command", "suffix"),
    [
        *(("convert", suffix) for suffix in (".pth", ".onnx", ".safetensors")),
        *(("detect", suffix) for suffix in (".mnn", ".tflite", ".ncnn.param")),
        ("verify", ".onnx"),
    ],
)
def test_a_model_whose_name_is_not_utf8(
    cli: Cli, tmp_path: Path, command: str, suffix: str
) -> None:
    path = tmp_path / os.fsdecode(b"m\xff\x1b[31m\n" + suffix.encode())
    path.write_bytes(b"x" * 100)
    before = ["--model"] if command == "detect" else []
    source = [str(DEMO_PHOTO)] if command == "detect" else []
    result = cli(command, *source, *before, path)
    assert result.code in (2, 3)
    assert result.error
    assert "\x1b" not in result.err


@pytest.mark.parametrize("value", [True, False, 1, "yes", [], {"passed": "yes"}, {"passed": 1}])
def test_a_verification_of_another_type(cli: Cli, folder: ArtifactFolder, value: Any) -> None:
    """It counts as none, or the manifest is refused; it never ends in a traceback."""
    manifest = json.loads((folder.path / MANIFEST).read_text())
    manifest["artifacts"] = [each | {"verification": value} for each in manifest["artifacts"]]
    (folder.path / MANIFEST).write_text(json.dumps(manifest))
    try:
        opened = ArtifactFolder.open(folder.path)
    except InputError:
        assert cli("detect", DEMO_PHOTO, "--model", folder.path).error
        return
    assert not any(artifact.verified for artifact in opened.artifacts)


def test_an_artifact_whose_id_is_an_order(cli: Cli, folder: ArtifactFolder) -> None:
    manifest = json.loads((folder.path / MANIFEST).read_text())
    for each in manifest["artifacts"]:
        each["id"] += "\x1b[31m\nslim"
    (folder.path / MANIFEST).write_text(json.dumps(manifest))
    for words in (["verify", folder.path], ["detect", DEMO_PHOTO, "--model", folder.path]):
        result = cli(*words)
        assert result.code in (1, 2)
        assert "\x1b" not in result.out + result.err
        assert "Traceback" not in result.err


def test_tensors_whose_names_are_orders(cli: Cli, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="makes the file")
    names = [f"\x1b[31m\n{number}" for number in range(2)]
    x, y = (onnx.helper.make_tensor_value_info(n, 1, [1, 3, 96, 128]) for n in names)
    node = onnx.helper.make_node("Relu", names[:1], names[1:])
    model = onnx.helper.make_model(
        onnx.helper.make_graph([node], "g", [x], [y]),
        opset_imports=[onnx.helper.make_opsetid("", 13)],
        ir_version=8,
    )
    path = tmp_path / "a.onnx"
    path.write_bytes(model.SerializeToString())
    result = cli("detect", DEMO_PHOTO, "--model", path)
    assert result.code == 2 and "output" in result.error
    assert "\x1b" not in result.err


ODD = ["\ud800", r"$\foo$", "$x$", "\x1b[31m", "=HYPERLINK(1)", "<b>&", "a\nb", "[/x]"]


@pytest.mark.parametrize("name", ODD)
def test_results_of_benchmarks_with_odd_names(cli: Cli, tmp_path: Path, name: str) -> None:
    odd = measurement(artifact=name, backend=name, model=f"m{name}", backend_version=name)
    data = report(odd, measurement(3.0, seed=1), hostname=name, cpu=name).to_dict()
    path = tmp_path / "a.json"
    path.write_text(json.dumps(data))
    for words in (["bench", "compare", path, path], ["bench", "recommend", path]):
        unharmed(cli(*words), words)


@pytest.mark.parametrize("names", [ODD[:1], ODD[1:]], ids=["no text", "text"])
def test_pages_of_benchmarks_with_odd_names(cli: Cli, tmp_path: Path, names: list[str]) -> None:
    odd = [
        measurement(artifact=name, backend=name, model=f"m{name}", backend_version=name)
        for name in names
    ]
    data = report(*odd, measurement(3.0, seed=1), hostname=names[0], cpu=names[-1]).to_dict()
    path, page = tmp_path / "a.json", tmp_path / "a.html"
    path.write_text(json.dumps(data))
    unharmed(cli("bench", "report", path, "-o", page), names)
    content = page.read_text() if page.exists() else ""
    assert "\x1b" not in content and "<b>&" not in content


def unharmed(result: CliResult, said: object) -> None:
    assert "Traceback" not in result.err and "\x1b" not in result.out + result.err, said
    assert result.code in (0, 1, 2)
    assert result.code == 0 or result.error


def test_what_a_board_tells_reaches_no_terminal_raw(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ultraface_deploy.cli.console import note, notes, progress

    said = r"\033[31mred[/x]\007"
    ssh = tmp_path / "ssh"
    lines = (f"@note {said}", f"@progress 1 2 {said}", said)
    ssh.write_text("#!/bin/sh\n" + "".join(f"printf '{line}\\n' >&2\n" for line in lines))
    ssh.chmod(0o755)
    monkeypatch.setenv("ULTRAFACE_DEPLOY_SSH", str(ssh))
    seen: list[str] = []
    with progress() as display:
        task = display.add_task("board", total=None)

        def show(host: str, now: Any) -> None:
            display.update(task, description=f"{host} {now.doing}")
            seen.append(str(display.columns[0].render(display.tasks[0])))  # type: ignore[attr-defined]

        _, failures = measure_on_hosts(["board"], [], BenchSettings(), on_progress=show, note=note)
    notes.file.flush()
    err = capsys.readouterr().err
    assert seen == [r"board \x1b[31mred[/x]\x07"]
    assert r"board: \x1b[31mred[/x]\x07" in err and "\x1b[31m" not in err
    assert "\x1b" in str(failures["board"])  # `console.error` shows it as the notes are


def test_two_results_cannot_share_standard_output(cli: Cli, folder: ArtifactFolder) -> None:
    for command in (["detect", DEMO_PHOTO], ["bench", "run"]):
        result = cli(*command, "--json", "-", "--csv", "-")
        assert result.code == 2
        assert "standard output" in result.error
        assert result.out == ""


@pytest.mark.parametrize("host", ["", " ", "-oProxyCommand=x", "a\nb", "\x1b[31m"])
def test_what_is_no_host(cli: Cli, folder: ArtifactFolder, host: str) -> None:
    result = cli("bench", "run", folder.path, "--host", host)
    assert result.code == 2
    assert "--host" in result.error and "\x1b" not in result.err


def run(words: list[object], **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Run in a process of its own, where locale and folder are what the test says."""
    environment = os.environ | options.pop("env", {})
    found = os.pathsep.join([str(ROOT), *sys.path])
    return subprocess.run(
        [*COMMAND, *map(os.fsencode, map(str, words))],
        capture_output=True,
        timeout=120,
        check=False,
        env=environment | {"PYTHONPATH": found},
        **options,
    )


def test_a_locale_without_letters(tmp_path: Path) -> None:
    names = [b"bad\xff.jpg", "gr\u00fcn.jpg".encode()]
    for name in names:
        shutil.copy(DEMO_PHOTO, tmp_path / os.fsdecode(name))
    plain = dict(LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0", PYTHONIOENCODING="")
    result = run(["detect", tmp_path, "--json", "-"], env=plain)
    assert (result.returncode, result.stderr) == (0, b"")
    assert len(json.loads(result.stdout)["results"]) == 2
    missing = run(["detect", tmp_path / os.fsdecode("gr\u00fcn.png".encode())], env=plain)
    assert missing.returncode == 2
    assert missing.stderr.startswith(b"error: ") and missing.stderr.count(b"\n") == 1


def test_a_working_folder_that_is_gone(tmp_path: Path) -> None:
    # `python -m` needs the folder itself.
    program = Path(sys.executable).with_name("ultraface-deploy")
    if not program.is_file():
        pytest.skip("the console script is not installed here")
    gone = tmp_path / "gone"
    script = 'cd "$0" && rmdir "$0" && exec "$@"'
    for words in (["models", "list"], ["convert"]):
        gone.mkdir(exist_ok=True)
        result = subprocess.run(
            ["sh", "-c", script, str(gone), str(program), *words],
            capture_output=True,
            timeout=120,
            check=False,
        )
        assert result.returncode == 2
        assert result.stderr == b"error: the working directory is gone; change to another\n"
