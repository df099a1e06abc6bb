"""Files of tensors, and what is no such file."""

from __future__ import annotations

import argparse
import datetime
import decimal
import enum
import pathlib
import sys
import types
import uuid
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import Cli
from ultraface_deploy.errors import InputError

torch = pytest.importorskip("torch", reason="checkpoints are read with torch")
pytest.importorskip("safetensors", reason="reads and writes .safetensors")

from ultraface_deploy.artifacts.folder import ArtifactFolder  # noqa: E402
from ultraface_deploy.family.checkpoint import load_checkpoint  # noqa: E402
from ultraface_deploy.family.tensors import load_tensors  # noqa: E402


def test_safetensors_holds_what_the_checkpoint_holds(
    make_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    checkpoint = load_checkpoint(make_checkpoint(), "net")
    path = tmp_path / "net.safetensors"
    checkpoint.save(path)
    again = load_checkpoint(path)
    assert again.spec == checkpoint.spec
    assert again.state_dict.keys() == checkpoint.state_dict.keys()
    for name, tensor in checkpoint.state_dict.items():
        assert torch.equal(tensor, again.state_dict[name])


def test_safetensors_of_other_people_have_no_description(
    make_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    from safetensors.torch import save_file

    state = load_checkpoint(make_checkpoint()).state_dict
    path = tmp_path / "theirs.safetensors"
    save_file({f"module.{name}": tensor for name, tensor in state.items()}, path)
    spec = load_checkpoint(path).spec
    assert (spec.name, spec.width, spec.height) == ("theirs", 320, 240)


@pytest.mark.parametrize("keep", [4, 8, 100, -1])
def test_safetensors_cut_off(
    make_checkpoint: Callable[..., Path], tmp_path: Path, keep: int
) -> None:
    path = tmp_path / "net.safetensors"
    load_checkpoint(make_checkpoint()).save(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"not a safetensors file, or damaged|allowed"):
        load_tensors(path)


def test_safetensors_are_converted_from(
    make_checkpoint: Callable[..., Path], tmp_path: Path, cli: Cli
) -> None:
    path, output = tmp_path / "net.safetensors", tmp_path / "out"
    checkpoint = load_checkpoint(make_checkpoint(), "net")
    replace(checkpoint, spec=replace(checkpoint.spec, width=128, height=96)).save(path)
    cli("convert", path, "--to", "onnx", "-o", output)
    folder = ArtifactFolder.open(output)
    assert folder.find("torch").files == ("net.safetensors",)
    assert (folder.spec.width, folder.spec.height) == (128, 96)


@dataclass
class Config:
    """As a training script has one."""

    rate: float = 0.1


class Mode(enum.Enum):
    """As a training script has one."""

    FAST = 1


class EasyDict(dict[str, Any]):
    """Items and attributes at once, as in `easydict` and `yacs`."""

    def __init__(self, **items: Any) -> None:
        super().__init__(items)
        vars(self).update(items)


class Slotted:
    """Its state is a pair."""

    __slots__ = ("rate",)

    def __init__(self) -> None:
        self.rate = 0.1


def _optimizers() -> dict[str, Any]:
    parameter = torch.nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.Adam([parameter], betas=(0.9, 0.99))
    parameter.sum().backward()
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 5])
    return {"optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict()}


BESIDE: dict[str, Callable[[], Any]] = {
    "namespace": lambda: argparse.Namespace(lr=0.1, path=pathlib.PurePosixPath("/a/b")),
    "simple": lambda: types.SimpleNamespace(lr=0.1, more=[types.SimpleNamespace()]),
    "path": lambda: [Path("a/b"), pathlib.PureWindowsPath("c:/d")],
    "scalars": lambda: [np.float64(0.5), np.int64(3), np.bool_(True), np.float32(1)],
    "array": lambda: np.arange(6.0).reshape(2, 3),
    "odd arrays": lambda: [np.array(["a", None], dtype=object), np.zeros(0), np.array("text")],
    "random": lambda: np.random.RandomState(0).get_state(),
    "collections": lambda: [OrderedDict(a=1), Counter("aab"), deque([1, (2, 3)], 5)],
    "defaultdict": lambda: defaultdict(list, {"loss": [1.0, 2.0], "lr": []}),
    "times": lambda: [datetime.datetime.now(datetime.UTC), datetime.timedelta(1)],
    "torch": lambda: [torch.device("cpu"), torch.float16, torch.Size([1, 2]), torch.__version__],
    "numbers": lambda: [decimal.Decimal("0.1"), uuid.UUID(int=5), frozenset([1]), b""],
    "optimizer": _optimizers,
    "dataclass": Config,
    "enum": lambda: {Mode.FAST: Mode.FAST},
    "easydict": lambda: EasyDict(lr=0.1, net=EasyDict(kind="slim"), empty=EasyDict()),
    "slots": Slotted,
    "class": lambda: [Config, Mode],
}


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old"])
@pytest.mark.parametrize("kind", BESIDE)
def test_objects_beside_the_weights(
    make_checkpoint: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    zipped: bool,
    kind: str,
) -> None:
    """Their classes do not exist where the file is read, and torch's list stays as it was."""
    module, path = types.ModuleType("training_of_others"), tmp_path / "net.pth"
    for each in (Config, Mode, EasyDict, Slotted):
        monkeypatch.setattr(each, "__module__", module.__name__)
        setattr(module, each.__name__, each)
    weights = load_checkpoint(make_checkpoint()).state_dict
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, module.__name__, module)
        content = {"args": BESIDE[kind](), "state_dict": weights, "again": BESIDE[kind]()}
        torch.save(content, path, _use_new_zipfile_serialization=zipped)
    before = set(torch.serialization.get_safe_globals())
    read = load_checkpoint(path).state_dict
    assert set(torch.serialization.get_safe_globals()) == before
    assert all(torch.equal(read[name], tensor) for name, tensor in weights.items())


def test_weights_in_a_dict_of_another_kind(
    make_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    weights = load_checkpoint(make_checkpoint()).state_dict
    path = tmp_path / "net.pth"
    torch.save(EasyDict(model=defaultdict(int, weights)), path)
    assert load_checkpoint(path).state_dict.keys() == weights.keys()


@pytest.mark.parametrize("wrong", ["array", "path", "all"])
def test_what_stands_in_is_no_weight(
    make_checkpoint: Callable[..., Path], tmp_path: Path, wrong: str
) -> None:
    weights: dict[str, Any] = dict(load_checkpoint(make_checkpoint()).state_dict)
    name, path = "base_net.0.0.weight", tmp_path / "net.pth"
    if wrong == "all":
        weights = {each: tensor.numpy() for each, tensor in weights.items()}
    else:
        weights[name] = weights[name].numpy() if wrong == "array" else Path("a")
    torch.save({"state_dict": weights, "args": argparse.Namespace()}, path)
    with pytest.raises(InputError, match=r"base_net\.0\.0\.weight|no tensors by name"):
        load_checkpoint(path)


class Calls:
    """Calls what it is told to when it is unpickled, and then gives it a state."""

    def __init__(self, function: Any, *given: Any) -> None:
        self.call = function, given, {"__setstate__": 1, "detach": 2}

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def ran(*given: Any) -> dict[str, Any]:
    """Must never be called: it stands in a module that exists."""
    raise AssertionError(f"called with {given}")


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old"])
def test_what_a_file_names_is_never_called(
    make_checkpoint: Callable[..., Path], tmp_path: Path, zipped: bool
) -> None:
    weights = load_checkpoint(make_checkpoint()).state_dict
    nested = Calls(ran, Calls(ran, [Calls(ran)] * 1000), "x" * 100_000)
    for _ in range(100):
        nested = Calls(ran, nested)
    path = tmp_path / "net.pth"
    content = {"a": nested, "state_dict": weights, "b": [Calls(ran) for _ in range(10_000)]}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    read = load_checkpoint(path).state_dict
    assert all(torch.equal(read[name], tensor) for name, tensor in weights.items())
    torch.save({"state_dict": Calls(ran, weights)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(InputError, match="no tensors by name"):
        load_checkpoint(path)


@pytest.mark.parametrize("function", [eval, exec, getattr, __import__, open, bytearray])
def test_what_runs_programs_is_refused(
    make_checkpoint: Callable[..., Path], tmp_path: Path, function: Any
) -> None:
    content = {"state_dict": load_checkpoint(make_checkpoint()).state_dict}
    path = tmp_path / "net.pth"
    torch.save({**content, "a": argparse.Namespace(b=[Calls(function, "1")])}, path)
    with pytest.raises(InputError, match="refused, it holds more than tensors"):
        load_checkpoint(path)


def test_a_million_calls_are_refused(make_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    content = {"state_dict": load_checkpoint(make_checkpoint()).state_dict}
    path = tmp_path / "net.pth"
    torch.save({**content, "b": [Calls(ran) for _ in range(60_000)]}, path)
    with pytest.raises(InputError, match="too many objects beside the weights"):
        load_checkpoint(path)


def test_a_class_that_the_program_itself_allows_is_not_made(
    make_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    content = {"state_dict": load_checkpoint(make_checkpoint()).state_dict}
    path = tmp_path / "net.pth"
    torch.save({**content, "args": argparse.Namespace()}, path)
    with (
        torch.serialization.safe_globals([argparse.Namespace]),
        pytest.raises(InputError, match="refused, it holds more than tensors"),
    ):
        load_checkpoint(path)
    assert load_checkpoint(path).spec.architecture == "slim"
