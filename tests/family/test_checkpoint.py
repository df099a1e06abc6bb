"""Reading checkpoints: every wrapping, what is refused, and that nothing in a file ever runs."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections import Counter, OrderedDict
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeCheckpoint
from ultraface_deploy.errors import InputError
from ultraface_deploy.family.checkpoint import load_checkpoint, model_name
from ultraface_deploy.family.spec import METADATA_KEY
from ultraface_deploy.family.weights import HEAD

torch = pytest.importorskip("torch", reason="checkpoints are read with torch")


@pytest.fixture
def tensors(make_checkpoint: MakeCheckpoint) -> dict[str, Any]:
    return dict(torch.load(make_checkpoint(), weights_only=True))


def save(content: Any, path: Path, zipped: bool = True) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


@pytest.mark.parametrize(
    ("name", "architecture", "size"),
    [
        ("slim-320", "slim", (320, 240)),
        ("RFB-320", "rfb", (320, 240)),
        ("slim-640", "slim", (640, 480)),
        ("RFB-640", "rfb", (640, 480)),
    ],
)
def test_published(checkpoints: Path, name: str, architecture: str, size: tuple[int, int]) -> None:
    checkpoint = load_checkpoint(checkpoints / f"version-{name}.pth")
    spec = checkpoint.spec
    assert (spec.name, spec.architecture, spec.num_classes) == (name.lower(), architecture, 2)
    assert (spec.width, spec.height) == size
    net = checkpoint.build()
    assert not net.training
    # BatchNorm folded, as it is deployed: of its two parameters a channel a bias remains.
    folded = sum(parameter.numel() for parameter in net.parameters()) - sum(
        norm.num_features for norm in net.modules() if isinstance(norm, torch.nn.BatchNorm2d)
    )
    assert folded == {"slim": 257_916, "rfb": 273_888}[architecture]


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old"])
@pytest.mark.parametrize("wrapper", [None, "state_dict", "model_state_dict", "model", "net"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_every_wrapping(
    tensors: dict[str, Any], tmp_path: Path, zipped: bool, wrapper: str | None, prefix: str
) -> None:
    state = OrderedDict((prefix + key, value) for key, value in tensors.items())
    content = state if wrapper is None else {"epoch": 3, "lr": 0.1, wrapper: state, "best": None}
    loaded = load_checkpoint(save(content, tmp_path / "x.pth", zipped))
    assert loaded.spec.architecture == "slim"
    assert loaded.state_dict.keys() == tensors.keys()
    built = loaded.build().state_dict()
    assert all(torch.equal(built[key], value) for key, value in tensors.items())


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old"])
@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_newer_pickle_protocols(
    tensors: dict[str, Any], tmp_path: Path, zipped: bool, protocol: int
) -> None:
    net = torch.nn.Linear(2, 2)
    momentum = torch.optim.Adam(net.parameters()).state_dict()
    beside = {"names": {"a", "b"}, "hash": b"\x00\xff", "codec": "zlib", "path": Path("here")}
    content = {"state_dict": tensors, "optimizer": momentum, **beside, "seen": Counter("aab")}
    path, options = tmp_path / "x.pth", {"_use_new_zipfile_serialization": zipped}
    torch.save(content, path, pickle_protocol=protocol, **options)
    loaded = load_checkpoint(path).state_dict
    assert loaded.keys() == tensors.keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in tensors.items())


@pytest.mark.parametrize("architecture", ["slim", "rfb"])
@pytest.mark.parametrize("classes", [2, 3, 5])
def test_architecture_and_classes_are_read_off_the_tensors(
    make_checkpoint: MakeCheckpoint, architecture: str, classes: int
) -> None:
    spec = load_checkpoint(make_checkpoint(architecture, classes)).spec
    assert (spec.architecture, spec.num_classes) == (architecture, classes)
    assert (spec.width, spec.height) == (320, 240)


def test_own_description_states_the_size(tensors: dict[str, Any], tmp_path: Path) -> None:
    description = load_checkpoint(save(tensors, tmp_path / "x.pth")).spec.resized(160, 120)
    content = {"state_dict": tensors, METADATA_KEY: description.to_dict()}
    spec = load_checkpoint(save(content, tmp_path / "y.pth")).spec
    assert (spec.name, spec.width, spec.height) == ("y", 160, 120)


def test_num_batches_tracked_may_be_missing(tensors: dict[str, Any], tmp_path: Path) -> None:
    old = {k: v for k, v in tensors.items() if not k.endswith("num_batches_tracked")}
    assert len(old) < len(tensors)
    load_checkpoint(save(old, tmp_path / "old.pth")).build()


class Evil:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("form", ["pickle", "zip", "old", "beside tensors"])
@pytest.mark.parametrize("protocol", [2, 4])
def test_code_is_refused_and_does_not_run(
    tensors: dict[str, Any], tmp_path: Path, form: str, protocol: int
) -> None:
    marker, path = tmp_path / "ran", tmp_path / "evil.pth"
    evil: Any = Evil(marker)
    if form == "pickle":
        path.write_bytes(pickle.dumps(evil, protocol))
    else:
        content = {**tensors, "x": evil} if form == "beside tensors" else evil
        options = {"_use_new_zipfile_serialization": form != "old"}
        torch.save(content, path, pickle_protocol=protocol, **options)
    with pytest.raises(InputError, match=r"evil.pth: refused") as refused:
        load_checkpoint(path)
    assert not marker.exists()
    assert "\n" not in str(refused.value)


def test_whole_module_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="state dict"):
        load_checkpoint(save(torch.nn.Linear(2, 2), tmp_path / "module.pth"))


def test_another_network_is_refused_with_what_is_missing(tmp_path: Path) -> None:
    other = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8)).state_dict()
    with pytest.raises(InputError, match=r"classification_headers\.3\.bias is missing"):
        load_checkpoint(save(other, tmp_path / "other.pth"))


def test_missing_and_misshapen_tensors_are_named(tensors: dict[str, Any], tmp_path: Path) -> None:
    del tensors["base_net.5.0.weight"]
    with pytest.raises(InputError, match=r"base_net\.5\.0\.weight"):
        load_checkpoint(save(tensors, tmp_path / "missing.pth"))
    tensors["base_net.5.0.weight"] = torch.zeros(7, 1, 3, 3)
    with pytest.raises(InputError, match=r"base_net\.5\.0\.weight"):
        load_checkpoint(save(tensors, tmp_path / "shape.pth"))


def test_head_of_a_fraction_of_a_class(tensors: dict[str, Any], tmp_path: Path) -> None:
    tensors["classification_headers.3.bias"] = torch.zeros(7)
    with pytest.raises(InputError, match=r"classification_headers"):
        load_checkpoint(save(tensors, tmp_path / "odd.pth"))


def test_weights_that_are_not_finite(tensors: dict[str, Any], tmp_path: Path) -> None:
    tensors["base_net.0.0.weight"] = torch.full_like(tensors["base_net.0.0.weight"], torch.nan)
    with pytest.raises(InputError, match=r"base_net\.0\.0\.weight"):
        load_checkpoint(save(tensors, tmp_path / "nan.pth"))


@pytest.mark.parametrize("content", [None, 3, [1, 2], {}, {"state_dict": {}}, {"a": {"b": 1}}])
def test_files_without_tensors(tmp_path: Path, content: Any) -> None:
    with pytest.raises(InputError, match="no tensors"):
        load_checkpoint(save(content, tmp_path / "none.pth"))


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old"])
@pytest.mark.parametrize("keep", [0.001, 0.3, 0.7, 0.999])
def test_truncated(tensors: dict[str, Any], tmp_path: Path, zipped: bool, keep: float) -> None:
    path = save(tensors, tmp_path / "cut.pth", zipped)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(InputError, match="not a torch checkpoint, or damaged") as refused:
        load_checkpoint(path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "content", [b"just text\n", b"<html></html>", b"PK\x03\x04 no zip", b"\x80\x02", bytes(1000)]
)
def test_other_files_by_that_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "text.pth"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"text\.pth"):
        load_checkpoint(path)


def test_zip_that_claims_to_span_disks(tensors: dict[str, Any], tmp_path: Path) -> None:
    path = save(tensors, tmp_path / "disks.pth", True)
    content = path.read_bytes()
    locator = b"PK\x06\x07" + bytes(12) + (9).to_bytes(4, "little")
    end = content.rindex(b"PK\x05\x06")
    path.write_bytes(content[:end].removesuffix(content[end - 20 : end]) + locator + content[end:])
    with pytest.raises(InputError, match=r"damaged .*zip"):
        load_checkpoint(path)


@pytest.mark.parametrize("packed", ["small", "large"])
def test_too_large_packed_or_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: str
) -> None:
    monkeypatch.setenv("ULTRAFACE_DEPLOY_MAX_MODEL_MB", "1")
    path = tmp_path / "bomb.pth"
    if packed == "large":
        path.write_bytes(bytes((1 << 20) + 1))
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("archive/data/0", bytes((1 << 20) + 1))
    with pytest.raises(InputError, match="are more than the 1 allowed"):
        load_checkpoint(path)


def test_missing_empty_and_folder(tmp_path: Path) -> None:
    (tmp_path / "empty.pth").touch()
    for path in (tmp_path / "gone.pth", tmp_path / "empty.pth", tmp_path):
        with pytest.raises(InputError, match="checkpoint"):
            load_checkpoint(path)


def test_names() -> None:
    assert model_name(Path("a/version-RFB-320.pth")) == "rfb-320"
    assert model_name(Path("mine.pth")) == "mine"


@pytest.mark.parametrize(
    "prefix",
    ["_orig_mod.", "model.", "net.", "module.model.", "module._orig_mod.", "a.deep.one."],
)
@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "best_loss": torch.tensor(1.2)},
        lambda state: {"best_loss": torch.tensor(1.2), "epoch": 3, "checkpoint": state},
        lambda state: {"model": {"state_dict": state, "step": torch.tensor(3)}},
        lambda state: {"anything": state, "optimizer": {"state": {0: {"m": torch.ones(2)}}}},
    ],
)
def test_the_network_is_found_in_whatever_wraps_it(
    tensors: dict[str, Any], tmp_path: Path, prefix: str, wrap: Any
) -> None:
    content = wrap({prefix + key: value for key, value in tensors.items()})
    loaded = load_checkpoint(save(content, tmp_path / "x.pth"))
    assert loaded.state_dict.keys() == tensors.keys()


@pytest.mark.parametrize("key", ["ema", "model_ema", "ema_state_dict", "state_dict_ema", "shadow"])
def test_averaged_weights_are_taken_when_asked_for(
    tensors: dict[str, Any], tmp_path: Path, key: str
) -> None:
    averaged = {name: value * 2 for name, value in tensors.items()}
    path = save({key: averaged, "state_dict": tensors}, tmp_path / "x.pth")
    name = "base_net.0.0.weight"
    assert torch.equal(load_checkpoint(path).state_dict[name], tensors[name])
    assert torch.equal(load_checkpoint(path, ema=True).state_dict[name], averaged[name])
    alone = save({key: averaged}, tmp_path / "alone.pth")
    assert torch.equal(load_checkpoint(alone).state_dict[name], averaged[name])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_scripts_that_cast_every_tensor(
    tensors: dict[str, Any], tmp_path: Path, dtype: torch.dtype
) -> None:
    cast = {name: value.to(dtype) for name, value in tensors.items()}
    loaded = load_checkpoint(save(cast, tmp_path / "x.pth"))
    name = "base_net.0.0.weight"
    assert torch.equal(loaded.build().state_dict()[name], cast[name].float())
    resaved = tmp_path / "again.safetensors"
    loaded.save(resaved)
    assert torch.equal(load_checkpoint(resaved).state_dict[name], cast[name])


@pytest.mark.parametrize(
    "others", [{"conv1.weight": torch.ones(2)}, {"extras.0.bias": torch.ones(2)}]
)
def test_another_network_stands_before_it(
    tensors: dict[str, Any], tmp_path: Path, others: dict[str, Any]
) -> None:
    path = save({"discriminator": others, "generator": tensors}, tmp_path / "x.pth")
    assert load_checkpoint(path).state_dict.keys() == tensors.keys()


def test_a_student_and_not_its_teacher(
    tensors: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    teacher = {name: value + 1 for name, value in tensors.items()}
    path = save({"teacher": teacher, "student": tensors}, tmp_path / "x.pth")
    loaded = load_checkpoint(path, size_known=True)
    assert torch.equal(loaded.state_dict[HEAD], tensors[HEAD])
    assert not caplog.messages


def test_our_own_unfinished_training_is_no_surprise(
    tensors: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """`last.pth` holds what the optimizer goes on with beside its average."""
    goes_on = {name: value + 1 for name, value in tensors.items()}
    path = save({"state_dict": tensors, "training": {"net": goes_on}}, tmp_path / "last.pth")
    loaded = load_checkpoint(path, size_known=True)
    assert torch.equal(loaded.state_dict[HEAD], tensors[HEAD])
    assert not caplog.messages


def test_of_several_networks_the_one_taken_is_named(
    tensors: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = {name: value + 1 for name, value in tensors.items()}
    path = save({"last": tensors, "best": other, "copy": tensors}, tmp_path / "x.pth")
    loaded = load_checkpoint(path, size_known=True)
    assert torch.equal(loaded.state_dict[HEAD], tensors[HEAD])
    (said,) = caplog.messages
    assert "last is taken, not best" in said


def test_averaged_weights_that_are_not_there_are_not_replaced(
    tensors: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="`ema`"):
        load_checkpoint(save(tensors, tmp_path / "x.pth"), ema=True)


def test_an_assumed_size_is_said_and_a_known_one_is_not(
    tensors: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = save(tensors, tmp_path / "mine-640.pth")
    load_checkpoint(path, size_known=True)
    assert not caplog.messages
    checkpoint = load_checkpoint(path)
    (message,) = caplog.messages
    assert "mine-640.pth" in message and "320x240" in message and "`input_size`" in message
    checkpoint.save(tmp_path / "again.pth")
    caplog.clear()
    assert load_checkpoint(tmp_path / "again.pth").spec.width == 320
    assert not caplog.messages


def test_a_size_in_the_file_is_the_trained_one(tensors: dict[str, Any], tmp_path: Path) -> None:
    spec = load_checkpoint(save(tensors, tmp_path / "x.pth")).spec.resized(640, 480)
    save({"model": tensors, METADATA_KEY: spec.to_dict()}, tmp_path / "y.pth")
    assert load_checkpoint(tmp_path / "y.pth").spec.height == 480


def test_dicts_of_one_dict_are_counted_before_they_are_looked_through(
    tensors: dict[str, Any], tmp_path: Path
) -> None:
    """A file of 20 kB holds one of them ten million times."""
    content: dict[str, Any] = {f"{number}": torch.zeros(1) for number in range(60)}
    for _ in range(4):
        content = {f"{number}": content for number in range(60)}
    path = save(content, tmp_path / "a.pth")
    with pytest.raises(InputError, match="more than 1000000 entries"):
        load_checkpoint(path)


def test_names_that_are_no_texts_or_too_long(tensors: dict[str, Any], tmp_path: Path) -> None:
    odd = {5: torch.zeros(1), None: {}, "base_net." * 100_000: torch.zeros(1)}
    assert load_checkpoint(save(tensors | odd, tmp_path / "a.pth")).spec.architecture == "slim"
