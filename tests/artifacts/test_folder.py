"""The artifact folder: its manifest survives, damage is refused, writers do not lose entries."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.family.test_spec import JSON, leaves
from ultraface_deploy.artifacts import turns
from ultraface_deploy.artifacts.folder import (
    MANIFEST,
    Artifact,
    ArtifactFolder,
    Source,
    describe_files,
)
from ultraface_deploy.errors import InputError
from ultraface_deploy.family.spec import ModelSpec

SPEC = ModelSpec("net", "slim", 128, 96)


def publish(
    folder: ArtifactFolder, format: str = "onnx", content: bytes = b"network"
) -> ArtifactFolder:
    made = folder.path / f".made-{format}"
    made.write_bytes(content)
    artifact = describe_files(format, "fp32", {f"net.{format}": made})
    return folder.publish(artifact, [made], {format: "1.0"})


@pytest.fixture
def small(tmp_path: Path) -> ArtifactFolder:
    empty = ArtifactFolder(tmp_path / "net", SPEC, Source("net.pth", "0" * 64))
    empty.path.mkdir()
    return publish(empty)


def rewrite(folder: ArtifactFolder, change: Callable[[Any], None]) -> None:
    manifest = folder.path / MANIFEST
    data = json.loads(manifest.read_text())
    change(data)
    manifest.write_text(json.dumps(data))


def test_what_is_published_can_be_opened(small: ArtifactFolder) -> None:
    opened = ArtifactFolder.open(small.path)
    assert opened == small
    artifact = opened.find("onnx")
    assert (artifact.id, artifact.files, artifact.bytes) == ("onnx", ("net.onnx",), 7)
    assert opened.intact_files(artifact)[0].read_bytes() == b"network"
    assert opened.tools == {"onnx": "1.0"}


def test_manifest_is_as_documented(small: ArtifactFolder) -> None:
    data = json.loads((small.path / MANIFEST).read_text())
    assert data["schema"] == 1
    assert data["model"].keys() >= {
        "name", "architecture", "num_classes", "head", "input", "source"
    }  # fmt: skip
    assert data["model"]["input"] == {
        "width": 128, "height": 96, "mean": [127.0] * 3, "std": [128.0] * 3, "color": "rgb"
    }  # fmt: skip
    assert data["model"]["source"] == {"file": "net.pth", "sha256": "0" * 64}
    assert data["artifacts"][0].keys() == {
        "id", "format", "precision", "files", "sha256", "bytes", "verification", "estimate",
            "halves",
    }  # fmt: skip


def test_replacing_an_artifact(small: ArtifactFolder) -> None:
    again = publish(publish(small, "mnn"), "onnx", b"another")
    assert sorted(a.id for a in again.artifacts) == ["mnn", "onnx"]
    assert again.check_files(again.find("onnx")) is None
    assert ArtifactFolder.open(small.path) == again


def test_two_runs_do_not_lose_each_others_entries(small: ArtifactFolder) -> None:
    formats = [f"format{k}" for k in range(12)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda format: publish(small, format), formats))
    opened = ArtifactFolder.open(small.path)
    assert {a.id for a in opened.artifacts} == {"onnx", *formats}
    assert all(opened.check_files(artifact) is None for artifact in opened.artifacts)


def test_entries_of_another_network_are_not_kept(small: ArtifactFolder) -> None:
    other = ArtifactFolder(small.path, replace(SPEC, name="other"), Source("o.pth", "1" * 64))
    updated = publish(other, "mnn")
    assert [artifact.id for artifact in updated.artifacts] == ["mnn"]


def test_changed_and_missing_files(small: ArtifactFolder) -> None:
    artifact = small.find("onnx")
    (small.path / "net.onnx").write_bytes(b"changed")
    assert "SHA-256" in (small.check_files(artifact) or "")
    with pytest.raises(InputError, match=r"net\.onnx is not the file that was converted"):
        small.intact_files(artifact)
    (small.path / "net.onnx").unlink()
    with pytest.raises(InputError, match=r"net\.onnx is missing"):
        small.intact_files(artifact)


def test_file_without_a_recorded_sum_is_refused(small: ArtifactFolder) -> None:
    rewrite(small, lambda data: data["artifacts"][0]["sha256"].clear())
    opened = ArtifactFolder.open(small.path)
    with pytest.raises(InputError, match=r"net\.onnx is not the file that was converted"):
        opened.intact_files(opened.find("onnx"))


def test_old_entry_goes_before_its_files_change(small: ArtifactFolder) -> None:
    """Whatever stops a run half way: the manifest never names other bytes."""
    made = small.path / ".made-onnx"
    made.write_bytes(b"another")
    artifact = describe_files("onnx", "fp32", {"net.onnx": made})
    made.unlink()
    with pytest.raises(FileNotFoundError):
        small.publish(artifact, [made], {})
    assert ArtifactFolder.open(small.path).artifacts == ()


def test_files_of_others_are_told_from_those_of_a_killed_run(
    small: ArtifactFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    (small.path / "net.mnn").write_bytes(b"somebody's")
    (small.path / "net.mlpackage").write_bytes(b"somebody's")
    names = ["net.onnx", "net.mnn", "net.ncnn", "net.mlpackage/Data/weights"]
    assert small.strangers(names) == [small.path / "net.mnn", small.path / "net.mlpackage"]
    monkeypatch.setattr(ArtifactFolder, "_write", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        publish(small, "ncnn")
    monkeypatch.undo()
    assert (small.path / "net.ncnn").is_file()
    assert small.strangers(["net.ncnn"]) == []
    again = publish(small, "ncnn")
    assert [artifact.id for artifact in again.artifacts] == ["onnx", "ncnn"]
    assert not (small.path / ".arriving").exists()


@pytest.mark.parametrize("verification", [None, {}, {"passed": False}, {"passed": "no"}])
def test_only_what_passed_is_verified(small: ArtifactFolder, verification: Any) -> None:
    artifact = small.find("onnx")
    assert not replace(artifact, verification=verification).verified
    assert replace(artifact, verification={"passed": True}).verified


def test_asking_for_what_is_not_there(small: ArtifactFolder) -> None:
    assert not small.has("mnn")
    with pytest.raises(InputError, match="has no artifact mnn-int8; it has onnx"):
        small.find("mnn", "int8")


@pytest.mark.parametrize(
    "name",
    [
        *("../../etc/passwd", "/etc/passwd", "..", ".", "", "sub//net.onnx", ".hidden"),
        *("./net.onnx", "net.onnx/", "../net/net.onnx", "sub/.hidden", "sub/./net.onnx"),
        *(".hidden/net.onnx", "sub/../net.onnx"),
    ],
)
def test_file_names_that_lead_out_are_refused(small: ArtifactFolder, name: str) -> None:
    def change(data: Any) -> None:
        data["artifacts"][0]["files"] = [name]
        data["artifacts"][0]["sha256"] = {name: data["artifacts"][0]["sha256"]["net.onnx"]}

    rewrite(small, change)
    with pytest.raises(InputError, match=r"manifest\.json"):
        ArtifactFolder.open(small.path)


def test_artifact_that_is_a_link_out_is_caught_by_its_sum(
    small: ArtifactFolder, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    (small.path / "net.onnx").unlink()
    (small.path / "net.onnx").symlink_to(secret)
    with pytest.raises(InputError, match="SHA-256"):
        small.intact_files(small.find("onnx"))


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "null", "3", '"text"', '{"schema": 2}', '{"schema": 1}', "[" * 100_000),
        '{"schema": 1, "model": 3, "artifacts": []}',
    ],
    ids=lambda text: text[:30],
)
def test_manifest_that_is_none(small: ArtifactFolder, text: str) -> None:
    (small.path / MANIFEST).write_text(text)
    with pytest.raises(InputError, match=r"manifest\.json") as refused:
        ArtifactFolder.open(small.path)
    assert "\n" not in str(refused.value)


def test_manifest_that_is_no_text(small: ArtifactFolder) -> None:
    (small.path / MANIFEST).write_bytes(b"\xff\xfe\x00binary")
    with pytest.raises(InputError, match="damaged"):
        ArtifactFolder.open(small.path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_manifest_is_an_input_error_or_still_safe(
    small: ArtifactFolder, data: st.DataObject
) -> None:
    manifest = small.path / MANIFEST
    original = manifest.read_text()
    document = json.loads(original)
    path = data.draw(st.sampled_from(leaves(document)))
    holder: Any = document
    for key in path[:-1]:
        holder = holder[key]
    if data.draw(st.booleans()):
        holder[path[-1]] = data.draw(JSON)
    else:
        del holder[path[-1]]
    manifest.write_text(json.dumps(document))
    try:
        opened = ArtifactFolder.open(small.path)
    except InputError:
        return
    finally:
        manifest.write_text(original)
    for artifact in opened.artifacts:
        assert isinstance(artifact, Artifact)
        assert all(file.parent == small.path for file in opened.files(artifact))
        opened.check_files(artifact)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="make one with: ultraface-deploy convert"):
        ArtifactFolder.open(tmp_path / "gone")


def test_a_folder_nearby_may_be_meant(small: ArtifactFolder) -> None:
    above = small.path.parent
    within = f"{above}: no artifact folder itself; give one that is in it, such as {small.path}"
    with pytest.raises(InputError, match=re.escape(within)):
        ArtifactFolder.open(above)
    with pytest.raises(InputError, match=re.escape(f"did you mean {small.path}?")):
        ArtifactFolder.open(above / small.path.name.swapcase())


def test_two_artifacts_of_one_name_are_refused(small: ArtifactFolder) -> None:
    """Verification takes the one that bears the original's name for the original."""
    rewrite(small, lambda data: data["artifacts"].append(data["artifacts"][0]))
    with pytest.raises(InputError, match="two artifacts are called onnx"):
        ArtifactFolder.open(small.path)


@pytest.mark.parametrize("change", [{"precision": "int8"}, {"format": "mnn"}, {"id": "onnx-fp16"}])
def test_an_artifact_that_is_not_what_its_name_says_is_refused(
    small: ArtifactFolder, change: dict[str, str]
) -> None:
    """Its name is what is looked for, its precision what it is judged by."""
    rewrite(small, lambda data: data["artifacts"][0].update(change))
    with pytest.raises(InputError, match="states what makes it"):
        ArtifactFolder.open(small.path)


class GoneWithTheLock(FileLock):  # type: ignore[misc]
    """As filelock does before 4: the file goes before the lock on it does."""

    def _release(self) -> None:
        Path(self.lock_file).unlink(missing_ok=True)
        super()._release()


@pytest.mark.parametrize("kind", [FileLock, GoneWithTheLock])
def test_a_run_that_leaves_nothing_takes_the_folders_it_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[FileLock]
) -> None:
    monkeypatch.setattr(turns, "FileLock", kind)
    place = ArtifactFolder(tmp_path / "deep" / "net", SPEC, Source("net.pth", "0" * 64))
    with place.scratch():
        assert place.path.is_dir()
    assert list(tmp_path.iterdir()) == []
    place.path.mkdir(parents=True)
    with place.scratch():
        pass
    assert place.path.is_dir() and list(place.path.iterdir()) == []


@pytest.mark.parametrize("kind", [FileLock, GoneWithTheLock])
def test_runs_that_leave_nothing_take_no_folder_away_from_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[FileLock]
) -> None:
    """Each run that fails removes the folder it was first in; no other run may miss its own."""
    monkeypatch.setattr(turns, "FileLock", kind)
    place = ArtifactFolder(tmp_path / "deep" / "net", SPEC, Source("net.pth", "0" * 64))

    def fail(number: int) -> None:
        with place.scratch() as scratch:
            (scratch / "half").write_text(str(number))
            raise InputError("as meant")

    def come_and_go(number: int) -> None:
        for _ in range(20):
            with pytest.raises(InputError, match="as meant"):
                fail(number)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(come_and_go, range(6)))
    # Of two that begin at once one finds the folder there, and it stays, with nothing in it.
    assert not place.path.exists() or list(place.path.iterdir()) == []
    with place.scratch() as scratch:
        (scratch / "made").write_bytes(b"network")
        artifact = describe_files("onnx", "fp32", {"net.onnx": scratch / "made"})
        place.publish(artifact, [scratch / "made"], {})
    assert {path.name for path in place.path.iterdir()} - {".lock"} == {MANIFEST, "net.onnx"}
