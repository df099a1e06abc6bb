"""A short run of the campaign over every reader; `make fuzz` is the long one."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import Convert, MakeCheckpoint
from tests.fuzz import structure
from tests.fuzz.campaign import Tally, run
from tests.fuzz.mutation import mutated, one_file
from tests.fuzz.targets import TARGETS, Files
from tests.fuzz.watched import COMMANDS, watch
from ultraface_deploy.artifacts.folder import ArtifactFolder

# How many files of a reader that is native, and of one that is not.
FILES = {True: 5, False: 12}

SeedsOf = Callable[[str], list[Files]]


@pytest.fixture(scope="module")
def artifacts(converted: Convert, make_checkpoint: MakeCheckpoint) -> ArtifactFolder:
    for package in ("onnx", "MNN", "ncnn", "ai_edge_litert", "openvino", "scipy", "defusedxml"):
        pytest.importorskip(package, reason="every reader is fuzzed")
    formats = ("onnx", "onnxsim", "mnn", "ncnn", "caffe", "tflite", "openvino", "c")
    return converted(make_checkpoint(), *formats, size=(128, 96))


@pytest.fixture(scope="module")
def seeds_of(artifacts: ArtifactFolder) -> SeedsOf:
    """Return a function that makes the good files of a target once; some take a child process."""
    return cache(lambda name: TARGETS[name].seeds(artifacts))


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_files_are_refused_or_read(seeds_of: SeedsOf, name: str) -> None:
    target = TARGETS[name]
    files = FILES[target.native] // (1 if target.damage is one_file else 2)
    tally = run(name, seeds_of(name), files, seed=7)
    assert tally.findings == {}
    assert tally.read + tally.refused + sum(tally.in_child.values()) == tally.files


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_good_files(seeds_of: SeedsOf, name: str, tmp_path: Path) -> None:
    """What is damaged must have been readable, or nothing behind the first check is reached."""
    target = TARGETS[name]
    for number, seed in enumerate(seeds_of(name)):
        folder = tmp_path / str(number)
        folder.mkdir()
        for file, content in seed.items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_bytes(content)
        target.read(folder)


@pytest.mark.parametrize("name", [n for n in TARGETS if TARGETS[n].damage is not one_file])
def test_damage_of_structure_can_be_repeated(seeds_of: SeedsOf, name: str) -> None:
    target = TARGETS[name]
    seed = seeds_of(name)[0]
    first, again, other = (dict(target.damage(seed, number)) for number in ("0/1", "0/1", "0/2"))
    assert first == again
    assert seed != first != other


@pytest.mark.parametrize("name", ["checkpoint", "tflite-by-structure", "manifest-by-structure"])
def test_some_files_are_given_to_whole_commands(seeds_of: SeedsOf, name: str) -> None:
    strace = shutil.which("strace") or pytest.skip("strace is not installed")
    tally = Tally(name)
    assert watch(name, seeds_of(name), 2, 2, 7, strace, tally) == 1
    assert tally.findings == {}


def test_commands_are_of_targets() -> None:
    assert COMMANDS.keys() <= TARGETS.keys()


def test_trees_keep_their_kind() -> None:
    tree = {"name": "a", "sides": [1, 2, 3], "inner": {"share": 0.5, "on": True}}
    seen = {json.dumps(structure.damaged_tree(tree, random.Random(i))) for i in range(200)}
    assert len(seen) > 100
    assert tree == {"name": "a", "sides": [1, 2, 3], "inner": {"share": 0.5, "on": True}}


def test_damage_can_be_repeated() -> None:
    content = bytes(range(256)) * 100
    assert mutated(content, "0/1") == mutated(content, "0/1") != mutated(content, "0/2")
