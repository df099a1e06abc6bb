"""Two results side by side: files, intervals, the gate."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ultraface_deploy.accuracy import Evaluation, Result, compare_results, pair_up, read_results
from ultraface_deploy.accuracy.markdown import BEGIN, END, insert
from ultraface_deploy.accuracy.result import pack, unpack
from ultraface_deploy.errors import InputError
from ultraface_deploy.wider import SETS, TruthImage, match_images, tally_matches


def result(lost: float, artifact: str = "onnx", seed: int = 0, images: int = 60) -> Result:
    """A detector that misses a share of the faces: three an image, and one false alarm."""
    random = np.random.default_rng(seed)
    boxes = np.array([[0, 0, 20, 20], [50, 0, 70, 20], [100, 0, 120, 20.0]])
    truth = [TruthImage(f"e/{i}", boxes, np.ones((3, 3), bool)) for i in range(images)]
    found = {}
    for image in truth:
        kept = boxes[random.random(3) >= lost]
        alarms = np.vstack([kept, [200, 200, 220, 220.0]])
        found[image.name] = alarms, np.append(np.full(len(kept), 0.9), 0.1)
    subject = {
        "model": "m", "artifact": artifact, "backend": "b", "precision": "fp32",
        "input": {"width": 320, "height": 240}, "bytes": 1000,
    }  # fmt: skip
    details = {"operating_points": [], "agreement": None}
    return Result(subject, tally_matches(match_images(found, truth)), details=details)


def written(path: Path, *results: Result) -> Path:
    path.write_text(json.dumps(Evaluation({"name": "WIDER FACE"}, results).to_dict()))
    return path


def test_results_come_back_from_their_file(tmp_path: Path) -> None:
    before = result(0.2)
    _, (after,) = read_results(written(tmp_path / "a.json", before))
    assert after.ap() == before.ap()
    assert after.tally.names == before.tally.names


@pytest.mark.parametrize("text", ["", "{}", '{"schema": 1, "protocol": {}, "results": [{}]}', "[]"])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match=r"a\.json"):
        read_results(tmp_path / "a.json")


def test_damaged_counts_are_refused(tmp_path: Path) -> None:
    data = json.loads(written(tmp_path / "a.json", result(0.2)).read_text())
    data["results"][0]["counts"] = data["results"][0]["counts"][: -len("counts") * 40]
    (tmp_path / "a.json").write_text(json.dumps(data))
    with pytest.raises(InputError, match="damaged"):
        read_results(tmp_path / "a.json")


@pytest.mark.parametrize(
    "change",
    [
        {"model": None},
        {"input": {"width": 320}},
        {"bytes": "many"},
        {"missing": -1},
        {"operating_points": [{"score": "0.5", "recall": 1, "precision": 1}]},
        {"agreement": {"f1": None}},
        {"counts": ""},
    ],
)
def test_records_of_other_types_are_refused(tmp_path: Path, change: dict[str, object]) -> None:
    data = json.loads(written(tmp_path / "a.json", result(0.2)).read_text())
    data["results"][0].update(change)
    (tmp_path / "a.json").write_text(json.dumps(data))
    with pytest.raises(InputError, match="damaged"):
        read_results(tmp_path / "a.json")


def test_counts_with_more_bins_than_anybody_counts() -> None:
    """Otherwise a curve would allocate what the file claims."""
    with pytest.raises(ValueError, match="do not fit"):
        unpack(pack(replace(result(0.2).tally, bins=10**12)))


def test_counts_are_packed_without_loss() -> None:
    tally = result(0.3).tally
    again = unpack(pack(tally))
    for name in SETS:
        np.testing.assert_array_equal(again.curve(name).precision, tally.curve(name).precision)


def test_a_result_does_not_differ_from_itself() -> None:
    same = compare_results(result(0.2), result(0.2), samples=100)
    assert all((c.change, c.low, c.high) == (0, 0, 0) for c in same.changes)
    assert same.largest_drop == 0


def test_a_real_loss_lies_within_its_interval_and_away_from_zero() -> None:
    pairing = compare_results(result(0.1), result(0.4, seed=1), samples=300)
    for change in pairing.changes:
        assert change.change == pytest.approx(change.after - change.before)
        assert change.low < change.change < change.high < 0
    assert pairing.largest_drop == pytest.approx(0.3, abs=0.1)


def test_more_images_narrow_the_interval() -> None:
    pairs = ((result(0.2, images=n), result(0.2, seed=1, images=n)) for n in (30, 480))
    few, many = (compare_results(*pair, samples=300).changes[0] for pair in pairs)
    # Standard errors fall with the root of the number: to a quarter, give or take.
    assert (many.high - many.low) < 0.5 * (few.high - few.low)


def test_results_on_other_images_cannot_be_compared() -> None:
    with pytest.raises(InputError, match="other images"):
        compare_results(result(0.2), result(0.2, images=10))


def test_one_baseline_goes_with_all_and_several_with_their_like() -> None:
    a, b, c = (result(0.2, artifact=name) for name in "abc")
    assert pair_up([a], [b, c]) == [(a, b), (a, c)]
    assert pair_up([a, b], [b, c]) == [(b, b)]
    with pytest.raises(InputError, match="in common"):
        pair_up([a, b], [c])


def test_the_gate_of_the_command_line(tmp_path: Path, cli) -> None:
    good, bad = written(tmp_path / "a.json", result(0.1)), written(tmp_path / "b.json", result(0.4))
    passed = cli("eval", "compare", good, good, "--max-drop", 0.005, "--samples", 100)
    assert passed.code == 0 and "+0.0000" in passed.out
    failed = cli("eval", "compare", good, bad, "--max-drop", 0.005, "--samples", 100)
    assert failed.code == 1 and "--max-drop 0.005" in failed.error
    assert cli("eval", "compare", good, bad, "--samples", 100).code == 0
    document = json.loads(cli("eval", "compare", good, bad, "--samples", 100, "--json", "-").out)
    assert document["comparisons"][0]["largest_drop"] > 0.1


def test_the_table_goes_between_the_markers(tmp_path: Path, cli) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    source = written(tmp_path / "a.json", result(0.1))
    for _ in range(2):
        assert cli("eval", "table", source, "--into", readme).code == 0
        text = readme.read_text()
        assert text.startswith(f"before\n{BEGIN}\n| model |") and text.endswith(f"{END}\nafter\n")
        assert "old" not in text and text.count("| m | 320x240 | onnx | b | 0.00 MB |") == 1
        assert "libfacedetection v1 *" in text and "not measured here" in text


def test_the_table_names_models_and_has_one_row_an_artifact(tmp_path: Path, cli) -> None:
    twice = written(tmp_path / "a.json", result(0.1), result(0.1), result(0.1, artifact="mnn"))
    run = cli("eval", "table", twice, f"published m={twice}")
    assert run.code == 0
    for name in ("m", "published m"):
        for artifact in ("onnx", "mnn"):
            assert run.out.count(f"| {name} | 320x240 | {artifact} |") == 1
    assert "absent.json" in cli("eval", "table", "x=absent.json").error


def test_a_file_without_markers_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("nothing here\n")
    with pytest.raises(InputError, match="accuracy:begin"):
        insert("| table |\n", tmp_path / "README.md")
    assert (tmp_path / "README.md").read_text() == "nothing here\n"
