"""The Swift sample cannot be built here: what it reads is held against what is written."""

from __future__ import annotations

import re

from tests.conftest import ROOT
from ultraface_deploy.family.spec import METADATA_KEY, ModelSpec

SAMPLE = ROOT / "examples" / "coreml_swift"


def test_it_reads_what_the_converter_writes() -> None:
    text = (SAMPLE / "Sources" / "UltraFace" / "Detector.swift").read_text()
    assert f'said?["{METADATA_KEY}"]' in text
    spec = ModelSpec("net", "slim", head="decoded")
    written = spec.to_dict()
    declared = re.findall(r"^ +let ([\w, ]+): ", text.split("private struct Spec")[1], re.M)[:4]
    names = [name for line in declared for name in line.split(", ")]
    assert names == ["width", "height", "mean", "std", "color", "head"]
    assert {"head", "input"} <= written.keys()
    assert set(names) - {"head"} == set(written["input"])
    # The names of the tensors, and the order of their sides.
    assert set(re.findall(r'featureValue\(for: "(\w+)"\)', text)) == set(spec.outputs)
    assert '["input": input]' in text


def test_it_says_that_nobody_ran_it() -> None:
    assert "Nobody has built\nor run this yet" in (SAMPLE / "README.md").read_text()
