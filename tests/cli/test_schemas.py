"""The schemas that are committed are those of the records, and true of what is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.accuracy.test_compare import result
from tests.bench.count.test_report import count, report
from tests.bench.made import measurement
from tests.bench.made import report as bench_report
from tests.conftest import ROOT, Cli
from ultraface_deploy.accuracy import Evaluation
from ultraface_deploy.artifacts.folder import MANIFEST, ArtifactFolder
from ultraface_deploy.bench.result import Failure
from ultraface_deploy.cli.schemas import KINDS, main, schemas
from ultraface_deploy.safe.records import plain

DOCS = ROOT / "docs"


def errors(name: str, document: Any) -> list[str]:
    """What a validator of others finds wrong."""
    jsonschema = pytest.importorskip("jsonschema", reason="checks against the schemas")
    schema = json.loads((DOCS / f"{name}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return [
        error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(document)
    ]


@pytest.mark.parametrize("name", KINDS)
def test_committed_files_are_current(name: str) -> None:
    committed = (DOCS / f"{name}.schema.json").read_text()
    assert committed == schemas()[f"{name}.schema.json"], "run: make schemas"


def test_all_are_written(tmp_path: Path) -> None:
    main(str(tmp_path / "new"))
    assert {path.name for path in (tmp_path / "new").iterdir()} == schemas().keys()


def test_manifest_and_verification(folder: ArtifactFolder, cli: Cli) -> None:
    manifest = json.loads((folder.path / MANIFEST).read_text())
    assert errors("manifest", manifest) == []
    verified = cli("verify", folder.path, "--backend", "onnxruntime", "--json", "-")
    assert errors("verify", json.loads(verified.out)) == []
    # What `convert` records is a result of `verify`.
    for artifact in manifest["artifacts"]:
        if (found := artifact["verification"]) is not None:
            assert errors("verify", {"schema": 1, "passed": True, "results": [found]}) == []
    manifest["artifacts"][0]["verification"] = True
    assert errors("manifest", manifest)


def test_results() -> None:
    failed = Failure("slim-320", "mnn", "mnn", "fp32", 1, "no time")
    measured = bench_report(measurement())
    assert errors("bench", measured.to_dict()) == []
    assert errors("bench", {**measured.to_dict(), "failures": [plain(failed)]}) == []
    assert errors("bench", {**measured.to_dict(), "machine": {}})
    assert errors("count", plain(report(count()))) == []
    assert errors("count", plain(report(count())) | {"schema": 2})
    evaluated = Evaluation({"name": "WIDER FACE"}, [result(0.2)]).to_dict()
    assert errors("eval", evaluated) == []
    del evaluated["results"][0]["counts"]
    assert errors("eval", evaluated)
