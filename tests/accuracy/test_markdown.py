"""The table of a README."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.accuracy.made import result, written
from ultraface_deploy.safe.marked import markers

BEGIN, END = markers("accuracy")


def test_the_table_goes_between_the_markers(tmp_path: Path, cli) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    source = written(tmp_path / "a.json", result(0.1))
    for _ in range(2):
        assert cli("eval", "table", source, "--into", readme).code == 0
        text = readme.read_text()
        assert text.startswith(f"before\n{BEGIN}\n| model |") and text.endswith(f"{END}\nafter\n")
        assert "old" not in text and text.count("| m | 320x240 | onnx | b | 0.00 MB |") == 1


def test_the_table_names_models_and_has_one_row_an_artifact(tmp_path: Path, cli) -> None:
    twice = written(tmp_path / "a.json", result(0.1), result(0.1), result(0.1, artifact="mnn"))
    run = cli("eval", "table", twice, f"published m={twice}")
    assert run.code == 0
    for name in ("m", "published m"):
        for artifact in ("onnx", "mnn"):
            assert run.out.count(f"| {name} | 320x240 | {artifact} |") == 1
    assert "absent.json" in cli("eval", "table", "x=absent.json").error


def test_results_on_other_pictures_have_no_place_in_it(tmp_path: Path, cli) -> None:
    wider = result(0.1)
    tally = replace(wider.tally, sets=("all", "large", "small"))
    own = written(tmp_path / "a.json", replace(wider, tally=tally))
    refused = cli("eval", "table", own)
    assert refused.code == 2
    assert "a.json: is not a result on WIDER FACE;" in refused.error
    assert "ultraface-deploy eval compare" in refused.error


def test_the_brief_table_has_the_worst_of_each_precision(tmp_path: Path, cli) -> None:
    good, bad = result(0.1), result(0.4, artifact="mnn")
    both = written(tmp_path / "a.json", good, bad)
    (row,) = [r for r in cli("eval", "table", both, "--brief").out.splitlines() if "| m |" in r]
    assert "| onnx, mnn |" in row
    worst = cli("eval", "table", written(tmp_path / "b.json", bad)).out
    (alone,) = [r for r in worst.splitlines() if "| m |" in r]
    assert row.split("|")[5:] == alone.split("|")[5:]
    assert good.ap()["hard"] > bad.ap()["hard"]
