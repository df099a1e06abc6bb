from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Cli, Convert
from tests.quantize.conftest import SIZE, Case
from ultraface_deploy import models
from ultraface_deploy.agreement.precision import Tolerance
from ultraface_deploy.artifacts.int8 import runner_of
from ultraface_deploy.backends import get_backend
from ultraface_deploy.converters import format_names, get_format
from ultraface_deploy.errors import CheckFailed, InputError
from ultraface_deploy.models import TABLE_SUFFIX, calibration_tables
from ultraface_deploy.quantize import Int8, Int8Job, Int8Options
from ultraface_deploy.quantize.gate import Runner
from ultraface_deploy.quantize.plan import make_plan
from ultraface_deploy.quantize.quantizer import Quantizer, fitting_table
from ultraface_deploy.safe import toolbox
from ultraface_deploy.safe.images import embedded_images

pytest.importorskip("MNN", reason="INT8 is made for all runtimes")
pytest.importorskip("ncnn", reason="INT8 is made for all runtimes")
QUICK = 3.0


@pytest.fixture
def table_file(slim: Case, tmp_path: Path) -> Path:
    path = tmp_path / "slim.json"
    slim.table.save(path)
    return path


def quantizer_of(
    case: Case,
    options: Int8Options,
    scratch: Path,
    report: Callable[[str], None] = lambda message: None,
) -> Quantizer:
    return Quantizer(case.network, case.executor, case.spec, options, scratch, report=report)


def record(format: str) -> Int8:
    found = get_format(format).int8
    assert found is not None
    return found


def job_of(case: Case) -> Int8Job:
    files = {format: case.files(format) for format in ("onnxsim", "ncnn")}
    return Int8Job(case.spec, case.network, files)


TOOLS = {"kmodel": "k210", "rknn": "rknn", "espdl": "esp"}


# Bytes that a maker's compiler writes anew each time: nncase sums the errors of its ranges in
# threads, so their last bits differ; rknn-toolkit2 leaves addresses of its own memory in the file.
_MAKERS_BYTES = {"kmodel": 32, "rknn": 8192}


# C refuses the ranges of this network, which has looked at eight photographs: of the network that
# ships, tests/artifacts/test_reproducible.py.
@pytest.mark.parametrize(
    "format", [name for name in format_names() if get_format(name).int8 and name != "c"]
)
def test_same_inputs_give_the_same_bytes(
    slim: Case, shared: Path, table_file: Path, tmp_path: Path, format: str
) -> None:
    missing = get_format(format).missing()
    if missing is not None:
        pytest.skip(missing)
    if format in TOOLS and toolbox.installed(TOOLS[format]) is None:
        pytest.skip(f"needs: ultraface-deploy tools install {TOOLS[format]}")
    written = []
    for run in ("one", "two"):
        options = Int8Options(
            table_file, images=2, validation=shared / "images", budget_s=QUICK, ranges="mse"
        )
        quantizer = quantizer_of(slim, options, tmp_path / run)
        folder = tmp_path / run / format
        folder.mkdir()
        int8 = record(format)
        job = job_of(slim)
        network, table = int8.rewrite(job, quantizer.table)
        made = int8.emit(make_plan(network, table, next(quantizer._schemes(int8))), job, folder)
        assert len(made) == len(get_format(format).suffixes)
        written.append([file.read_bytes() for file in made])
    for first, second in zip(*written, strict=True):
        assert len(first) == len(second)
        differing = sum(one != other for one, other in zip(first, second, strict=True))
        assert differing <= _MAKERS_BYTES.get(format, 0)


def test_validation_images_were_not_calibrated_on(slim: Case, shared: Path, tmp_path: Path) -> None:
    quantizer = quantizer_of(slim, Int8Options(shared / "images", images=2), tmp_path)
    assert len(quantizer._photographs) == 2
    images, labels = quantizer._validation()
    assert labels is None
    assert sum(1 for _ in images) > 20  # too few are left, so the shipped ones come in
    table = quantizer.table
    assert table.images["count"] == 2


def test_none_passing_says_how_the_closest_failed(
    slim: Case, shared: Path, table_file: Path, tmp_path: Path
) -> None:
    options = Int8Options(
        table_file, images=8, validation=shared / "images", ranges="mse", budget_s=1e-3
    )
    lines: list[str] = []
    quantizer = Quantizer(
        slim.network, slim.executor, slim.spec, options, tmp_path / "work", report=lines.append
    )
    found = runner_of(get_backend("onnxruntime"), slim.spec, tmp_path)
    strict = Runner(found.run, Tolerance(None, None, f1=1.01))
    output = tmp_path / "accepted.onnx"
    with pytest.raises(CheckFailed, match=r"none of 1 INT8 candidates passed.*F1"):
        quantizer.make("onnx", record("onnx"), strict, job_of(slim).files, 1_055_000, [output])
    assert not output.exists()
    assert "mse" in lines[0]
    assert "`search_seconds`" in lines[1]


def test_table_of_another_network_is_refused(rfb: Case, table_file: Path, tmp_path: Path) -> None:
    quantizer = quantizer_of(rfb, Int8Options(table_file), tmp_path / "work")
    with pytest.raises(InputError, match="calibrate again"):
        quantizer.table  # noqa: B018 - it is made when first looked at


def test_a_folders_own_table_comes_before_those_that_ship(
    slim: Case, tmp_path: Path, table_file: Path
) -> None:
    assert fitting_table(slim.network, calibration_tables()) is None
    own = fitting_table(slim.network, [table_file, *calibration_tables()])
    assert own is not None
    assert own.images == slim.table.images


def test_a_network_without_a_table_is_calibrated_on_what_ships(slim: Case, tmp_path: Path) -> None:
    said: list[str] = []
    quantizer = quantizer_of(slim, Int8Options(), tmp_path / "work", report=said.append)
    assert quantizer.table.images["count"] == len(list(embedded_images()))
    quantizer.table.require_network(slim.network)
    assert "no photographs given" in said[0]
    assert "`calibration` DIR" in said[0]


@pytest.mark.parametrize("content", [None, "not a table"])
def test_what_cannot_be_calibrated_on_is_refused_first(tmp_path: Path, content: str | None) -> None:
    given = tmp_path / "table.json"
    if content is None:
        given = tmp_path
    else:
        given.write_text(content)
    with pytest.raises(InputError, match=str(given)):
        Int8Options(calibration=given).require_readable()


@pytest.mark.parametrize(
    "options", [{"ranges": "best"}, {"images": 0}, {"ground_truth": Path("x")}]
)
def test_nonsense_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(InputError):
        Int8Options(**options)  # type: ignore[arg-type]


def test_depthwise_layers_stay_fp32_in_ncnn(slim: Case, tmp_path: Path, table_file: Path) -> None:
    quantizer = quantizer_of(slim, Int8Options(table_file), tmp_path)
    depthwise = {layer.name for layer in slim.network.layers if layer.depthwise}
    schemes = {format: list(quantizer._schemes(record(format))) for format in ("ncnn", "onnx")}
    assert all(depthwise <= set(scheme.keep) for scheme in schemes["ncnn"])
    assert not any(depthwise <= set(scheme.keep) for scheme in schemes["onnx"])
    # What they take is not part of the budget: it still buys the layers that matter most.
    assert len({scheme.keep for scheme in schemes["ncnn"]}) > 1


def test_for_half_floats_more_layers_are_left_to_mnn(
    slim: Case, tmp_path: Path, table_file: Path
) -> None:
    """There they cost less than the conversions around INT8; ncnn's plan is the same for both."""
    first: dict[tuple[str, bool], int] = {}
    for halves in (False, True):
        quantizer = quantizer_of(slim, Int8Options(table_file, halves=halves), tmp_path / "work")
        for format in ("mnn", "ncnn"):
            first[format, halves] = len(next(quantizer._schemes(record(format))).keep)
    assert first["mnn", True] > 2 * first["mnn", False]
    assert first["ncnn", True] == first["ncnn", False]


def test_layer_to_keep_must_exist(slim: Case, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none of that name"):
        quantizer_of(slim, Int8Options(keep=("base_net.99",)), tmp_path)


def test_command_line_from_checkpoint_to_int8(
    cli: Cli, checkpoints: Path, shared: Path, table_file: Path, tmp_path: Path
) -> None:
    width, height = SIZE
    folder = tmp_path / "out"
    arguments = [
        *("convert", checkpoints / "version-slim-320.pth", "--to", "onnx", "--int8"),
        *("--input-size", f"{width}x{height}", "-o", folder, "--calibration", table_file),
        *("--validation", shared / "images", "--calibration-images", 10),
    ]
    result = cli(*arguments, "--search-seconds", QUICK)
    assert result.code == 0, result.err
    manifest = json.loads((folder / "manifest.json").read_text())
    ids = {artifact["id"]: artifact for artifact in manifest["artifacts"]}
    assert ids["onnx-int8"]["verification"]["passed"]
    assert ids["onnx-int8"]["bytes"] < 470_000
    assert "F1" in result.err
    assert result.err.count("ultraface-deploy bench") == 1
    good = (folder / ids["onnx-int8"]["files"][0]).read_bytes()

    # A search in which nothing passes takes nothing away.
    data = json.loads(table_file.read_text())
    for methods in data["ranges"].values():
        methods.update({name: [low / 9, high / 9] for name, (low, high) in methods.items()})
    table_file.write_text(json.dumps(data))
    failed = cli(*arguments, "--search-seconds", 1)
    assert failed.code == 1
    assert "none of" in failed.error
    assert (folder / ids["onnx-int8"]["files"][0]).read_bytes() == good


def test_formats_without_int8_are_refused(cli: Cli, checkpoints: Path, tmp_path: Path) -> None:
    result = cli(
        *("convert", checkpoints / "version-slim-320.pth", "--to", "onnxsim", "--int8"),
        *("-o", tmp_path / "out"),
    )
    assert result.code == 2
    assert "does not offer int8" in result.error


def test_weights_alone_in_8_bits(converted: Convert, checkpoints: Path) -> None:
    folder = converted(checkpoints / "version-slim-320.pth", "mnn", size=SIZE, precision="w8")
    artifact = folder.find("mnn", "w8")
    assert artifact.id == "mnn-w8"
    assert artifact.bytes < 350_000


@pytest.mark.parametrize("path", calibration_tables(), ids=lambda p: p.name)
def test_shipped_tables_fit_their_models(path: Path) -> None:
    from ultraface_deploy.converters.onnx.network import load_network
    from ultraface_deploy.quantize.table import CalibrationTable

    entry = models.find(path.name.removesuffix(TABLE_SUFFIX))
    table = CalibrationTable.load(path)
    table.require_network(load_network(models.FOLDER / str(entry.onnx))[0])
