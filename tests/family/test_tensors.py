"""Files of tensors, and what is no such file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

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
