"""Our reading of Core ML's programs, operator by operator, against torch; damaged files."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import ROOT, require_installed
from ultraface_deploy.backends.mil import Program, read_model
from ultraface_deploy.errors import InputError

require_installed("coremltools", "writes the programs")
torch = pytest.importorskip("torch", reason="the reference")

SHAPE = (1, 4, 9, 12)
GENERATOR = np.random.default_rng(5)
TENSOR = GENERATOR.uniform(-2, 2, SHAPE).astype(np.float32)
Build = Callable[[Any, Any], Any]


def random(*shape: int) -> np.ndarray:
    return GENERATOR.uniform(-1, 1, shape).astype(np.float32)


@pytest.fixture(scope="module")
def save(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[Path, Path]]:
    """Return a function that saves a program of coremltools, and gives its two files."""
    from ultraface_deploy.backends.coreml import import_coremltools

    coremltools = import_coremltools()
    from coremltools.converters.mil import Builder

    def write(build: Build, half: bool = False) -> tuple[Path, Path]:
        def program(given: Any) -> Any:
            return build(Builder, given)

        spec = Builder.TensorSpec(shape=SHAPE)
        target = coremltools.target.iOS16
        made = coremltools.convert(
            Builder.program(input_specs=[spec], opset_version=target)(program),
            convert_to="mlprogram",
            minimum_deployment_target=target,
            compute_precision=getattr(coremltools.precision, "FLOAT16" if half else "FLOAT32"),
            skip_model_load=True,
        )
        package = tmp_path_factory.mktemp("mil") / "it.mlpackage"
        made.save(str(package))
        data = package / "Data" / "com.apple.CoreML"
        weights = data / "weights"  # without a file where no constant is large enough
        weights.mkdir(exist_ok=True)
        (weights / "weight.bin").touch()
        return data / "model.mlmodel", data / "weights" / "weight.bin"

    return write


CONVOLUTIONS = {
    "plain": ((6, 4, 3, 3), {}),
    "strided": ((6, 4, 3, 3), {"strides": [2, 2], "pad": [1, 1, 1, 1]}),
    "uneven": ((6, 4, 3, 2), {"strides": [2, 1], "pad": [1, 0, 1, 0]}),
    "dilated": ((6, 4, 3, 3), {"dilations": [2, 3], "pad": [2, 2, 3, 3]}),
    "depthwise": ((4, 1, 3, 3), {"groups": 4, "pad": [1, 1, 1, 1]}),
    "grouped": ((6, 2, 1, 1), {"groups": 2}),
    "pointwise": ((70, 4, 1, 1), {}),
}


@pytest.mark.parametrize("half", [False, True])
def test_convolutions(save: Any, half: bool) -> None:
    """All in one program, because coremltools takes a second for each."""
    given = {kind: (random(*shape), random(shape[0])) for kind, (shape, _) in CONVOLUTIONS.items()}

    def build(mb: Any, x: Any) -> Any:
        return tuple(
            mb.conv(x=x, weight=weight, bias=bias, pad_type="custom", name=kind, **options)
            for (kind, (_, options)), (weight, bias) in zip(
                CONVOLUTIONS.items(), given.values(), strict=True
            )
        )

    found = Program.read(*save(build, half)).run(TENSOR)
    assert list(found) == list(CONVOLUTIONS)
    for kind, (_, options) in CONVOLUTIONS.items():
        weight, bias = map(torch.from_numpy, given[kind])
        top, bottom, left, right = options.get("pad", [0] * 4)
        wanted = torch.nn.functional.conv2d(
            torch.nn.functional.pad(torch.from_numpy(TENSOR), (left, right, top, bottom)),
            weight,
            bias,
            stride=options.get("strides", 1),
            dilation=options.get("dilations", 1),
            groups=options.get("groups", 1),
        ).numpy()
        value = found[kind]
        np.testing.assert_allclose(value, wanted, rtol=0, atol=3e-2 if half else 1e-5, err_msg=kind)
        if half:
            # Each value is one that a half float can hold.
            assert (value == value.astype(np.float16)).all()


OTHERS: dict[str, tuple[Build, Callable[[np.ndarray], np.ndarray]]] = {
    "relu": (lambda mb, x: mb.relu(x=x), lambda x: np.maximum(x, 0)),
    "softmax": (
        lambda mb, x: mb.softmax(x=x, axis=1),
        lambda x: torch.softmax(torch.from_numpy(x), 1).numpy(),
    ),
    "transpose and reshape": (
        lambda mb, x: mb.reshape(x=mb.transpose(x=x, perm=[0, 2, 3, 1]), shape=[1, -1, 2]),
        lambda x: x.transpose(0, 2, 3, 1).reshape(1, -1, 2),
    ),
    "split and concat": (
        lambda mb, x: mb.concat(values=mb.split(x=x, split_sizes=[1, 3], axis=1)[::-1], axis=1),
        lambda x: np.concatenate([x[:, 1:], x[:, :1]], axis=1),
    ),
    "arithmetic": (
        lambda mb, x: mb.sub(x=mb.mul(x=mb.exp(x=mb.add(x=x, y=1.5)), y=0.25), y=x),
        lambda x: np.exp(x + np.float32(1.5)) * np.float32(0.25) - x,
    ),
    "division": (lambda mb, x: mb.real_div(x=x, y=mb.exp(x=x)), lambda x: x / np.exp(x)),
}


def test_other_operators(save: Any) -> None:
    names: list[str] = []

    def build_all(mb: Any, x: Any) -> Any:
        outputs = tuple(build(mb, x) for build, _ in OTHERS.values())
        names.extend(output.name for output in outputs)
        return outputs

    found = Program.read(*save(build_all)).run(TENSOR)
    for name, (kind, (_, wanted)) in zip(names, OTHERS.items(), strict=True):
        np.testing.assert_allclose(found[name], wanted(TENSOR), rtol=1e-5, atol=1e-6, err_msg=kind)


def test_an_unknown_operator_is_named(save: Any) -> None:
    program = Program.read(*save(lambda mb, x: mb.sinh(x=x)))
    with pytest.raises(InputError, match="sinh"):
        program.run(TENSOR)


def test_a_file_is_read_without_coremltools_or_torch(save: Any) -> None:
    model, weights = save(OTHERS["relu"][0])
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from ultraface_deploy.backends.mil import Program\n"
        "Program.read(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "print(sorted({'coremltools', 'torch', 'sympy'} & sys.modules.keys()))"
    )
    command = [sys.executable, "-c", program, str(model), str(weights)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.fixture(scope="module")
def files(save: Any) -> tuple[Path, Path]:
    weight = random(70, 4, 3, 3)
    return save(lambda mb, x: mb.conv(x=x, weight=weight, pad_type="custom", pad=[1, 1, 1, 1]))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: b"",
        lambda content: b"\xff" * len(content),
        lambda content: b"\x08\x07",  # a version and nothing else
        lambda content: content + b"\xb2\x1f\xff\xff\xff\x7f",
    ],
)
def test_damaged_programs(files: tuple[Path, Path], tmp_path: Path, damage: Any) -> None:
    model = tmp_path / 'a "model".mlmodel'
    model.write_bytes(damage(files[0].read_bytes()))
    with pytest.raises(InputError, match='a "model"'):
        Program.read(model, files[1])


@pytest.mark.parametrize("content", [b"", b"\0" * 64, b"\0" * 100_000])
def test_damaged_weights(files: tuple[Path, Path], tmp_path: Path, content: bytes) -> None:
    weights = tmp_path / "weight.bin"
    weights.write_bytes(content)
    with pytest.raises(InputError, match="const cannot be computed"):
        Program.read(files[0], weights).run(TENSOR)


def test_wild_padding_is_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    model = read_model(files[0])
    function = model.mlProgram.functions["main"]
    block = function.block_specializations[function.opset]
    for operation in block.operations:
        value = operation.attributes.get("val", None)
        if value is not None and list(value.immediateValue.tensor.ints.values) == [1] * 4:
            value.immediateValue.tensor.ints.values[0] = 1 << 30
    wild = tmp_path / "wild.mlmodel"
    wild.write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match="conv cannot be computed"):
        Program.read(wild, files[1]).run(TENSOR)
