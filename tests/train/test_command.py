"""`train` and `data prepare` on the command line."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ultraface_deploy.cli.train import EpochLines
from ultraface_deploy.family.checkpoint import load_checkpoint
from ultraface_deploy.train.data import Sample
from ultraface_deploy.train.data.cache import ImageCache, Store
from ultraface_deploy.train.data.prepare import prepare
from ultraface_deploy.train.recipe import FOLDER
from ultraface_deploy.train.stage import Progress

ROOT = Path(__file__).resolve().parents[2]
Cli = Callable[..., Any]

RECIPE = """\
architecture = "rfb"
input_size = "64x64"
[[stages]]
name = "labels"
epochs = 1
batch_size = 4
weights = { labels = 1.0 }
"""


@pytest.fixture
def voc(tiny: list[Sample], tmp_path: Path) -> Path:
    prepare({"train": tiny}, tmp_path / "voc")
    return tmp_path / "voc"


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE)
    return path


@pytest.mark.parametrize("name", ["best.pth", "best.safetensors"])
def test_weights_of_no_run_are_not_replaced(
    cli: Cli, voc: Path, recipe: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_bytes(b"mine")
    refused = cli("train", "--data", voc, "--recipe", recipe, "-o", tmp_path)
    assert refused.code == 2 and f"{name}: would be replaced" in refused.error
    assert (tmp_path / name).read_bytes() == b"mine"


def test_a_run_its_repetition_and_its_continuation(
    cli: Cli, voc: Path, recipe: Path, tmp_path: Path
) -> None:
    arguments = ("train", "--data", voc, "--recipe", recipe, "-o", tmp_path / "run")
    early = cli(*arguments, "--resume")
    assert early.code == 2 and "holds no run to go on with" in early.error
    done = cli(*arguments)
    assert done.out.strip() == str(tmp_path / "run/best.pth")
    assert "labels 1/1, loss " in done.err
    spec = load_checkpoint(tmp_path / "run/best.pth").spec
    assert (spec.architecture, spec.width, spec.height) == ("rfb", 64, 64)
    again = cli(*arguments)
    assert again.code == 2 and "--resume" in again.error
    assert cli(*arguments, "--resume").code == 0
    assert (tmp_path / "run/metrics.csv").read_text().count("labels,") == 1
    assert "training.html" in done.err and (tmp_path / "run/training.html").is_file()


def test_one_line_an_epoch() -> None:
    seconds = iter(range(0, 10_000, 60))
    lines = EpochLines(lambda: float(next(seconds)))
    lines.begin(Progress("labels", 0, 3, 1, 2, 0.7, done=0.0))
    said = [
        lines.said(Progress("labels", epoch, 3, 2, 2, 0.5, (epoch + 1) / 3, ap))
        for epoch, ap in enumerate((None, 0.25, None))
    ]
    assert said == [
        "labels 1/3, loss 0.500, about 2 min to the end of this stage",
        "labels 2/3, loss 0.500, AP 0.2500, about 1 min to the end of this stage",
        "labels 3/3, loss 0.500, about 0 min to the end of this stage",
    ]


def test_recipes_are_named_and_shown_without_data(cli: Cli) -> None:
    listed = cli("train", "--list-recipes")
    assert listed.code == 0 and "slim-320: What models/slim-320.pth was trained with" in listed.out
    shown = cli("train", "--show-recipe", "rfb-320")
    assert shown.code == 0 and shown.out == (FOLDER / "rfb-320.toml").read_text()
    refused = cli("train", "--show-recipe", "nothing")
    assert refused.code == 2 and "labels" in refused.error


def test_options_change_the_last_stage(cli: Cli, voc: Path, recipe: Path, tmp_path: Path) -> None:
    options = ("--epochs", 2, "--batch", 2, "--lr", 0, "--cache", "off")
    done = cli("train", "--data", voc, "--recipe", recipe, "-o", tmp_path / "run", *options)
    assert done.code == 0 and "labels 2/2" in done.err and "decoded at each use" in done.err
    assert not list((tmp_path / "run/cache").glob("*.u8"))
    with (tmp_path / "run/metrics.csv").open() as file:
        assert [float(row["lr"]) for row in csv.DictReader(file)] == [0, 0]


@pytest.mark.parametrize("cache", ["ram", "disk"])
def test_where_decoded_images_lie_changes_nothing(
    tiny: list[Sample], tmp_path: Path, cache: Store
) -> None:
    plain = ImageCache(tiny, tmp_path / "off", 100, store="off")
    stored = ImageCache(tiny, tmp_path / cache, 100, store=cache)
    numbers = [5, 0]
    assert (plain.canvases(numbers) == stored.canvases(numbers)).all()
    assert (plain.sizes == stored.sizes).all() and plain[3][1] == stored[3][1] == 100 / 128
    assert (plain[3][0] == stored[3][0]).all()


def test_a_run_ends_in_time(cli: Cli, voc: Path, recipe: Path, tmp_path: Path) -> None:
    options = ("--epochs", 100_000, "--max-minutes", 0.02)
    done = cli("train", "--data", voc, "--recipe", recipe, "-o", tmp_path / "run", *options)
    assert done.code == 0 and (tmp_path / "run/best.pth").is_file()
    # The schedule has fitted in.
    with (tmp_path / "run/metrics.csv").open() as file:
        assert float(list(csv.DictReader(file))[-1]["lr"]) < 0.005


def test_fine_tuning_refuses_another_architecture(
    cli: Cli, voc: Path, recipe: Path, tmp_path: Path, make_checkpoint: Callable[..., Path]
) -> None:
    arguments = ("train", "--data", voc, "--recipe", recipe, "-o", tmp_path / "run")
    refused = cli(*arguments, "--init", make_checkpoint("slim"))
    assert refused.code == 2 and "slim" in refused.error and "rfb" in refused.error
    assert cli(*arguments, "--init", make_checkpoint("rfb")).code == 0


def test_a_teacher_that_is_not_there_is_named(cli: Cli, voc: Path, tmp_path: Path) -> None:
    refused = cli("train", "--data", voc, "-o", tmp_path / "run")
    assert refused.code == 2 and "are not on this machine; download them with" in refused.error


def test_data_prepare(cli: Cli, tmp_path: Path) -> None:
    labels = tmp_path / "wider/wider_face_split/wider_face_train_bbx_gt.txt"
    labels.parent.mkdir(parents=True)
    labels.write_text("a/b.jpg\n1\n1 2 30 40 0 0 0 0 0 0\n")
    done = cli("data", "prepare", tmp_path / "wider", "-o", tmp_path / "voc")
    assert done.code == 0 and "1 damaged image" in done.out and "b.jpg" in done.err
    refused = cli("data", "prepare", tmp_path / "nothing", "-o", tmp_path / "voc")
    assert refused.code == 2 and "nothing" in refused.error


@pytest.mark.long  # short: `test_two_processes_give_the_gradients_of_the_joint_batch`
def test_torchrun_with_two_processes(voc: Path, recipe: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--standalone", "-m", "ultraface_deploy", "train", "--data", str(voc)]
    command += ["--recipe", str(recipe), "-o", str(tmp_path / "run")]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == [str(tmp_path / "run/best.pth")]
