"""Guards of one line, each with the mutation that takes it away and the test file that notices.

    python -m tests.mutants              # all: applies each to a copy and runs its test file
    python -m tests.mutants folder nms   # those whose file's name holds one of the words

Exit code 1 when a mutation survives. `test_mutants.py` holds that each still fits the code.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
_COPIED = (
    *("ultraface_deploy", "backends", "benchmarks", "converters", "models", "tests"),
    *("pyproject.toml", "README.md"),
)


class Mutant(NamedTuple):
    """`before` becomes `after` in `file` (below the root), which `test` must notice."""

    what: str
    file: str
    before: str
    after: str
    test: str

    def apply(self, root: Path) -> None:
        """Change the file in a copy of the checkout."""
        path = root / self.file
        path.write_text(path.read_text().replace(self.before, self.after))

    def fits(self) -> bool:
        """Whether the text to change stands in the file exactly once."""
        return (ROOT / self.file).read_text().count(self.before) == 1


_FOLDER = "ultraface_deploy/artifacts/folder.py", "tests/artifacts/test_folder.py"
_CHOOSE = "ultraface_deploy/artifacts/choose.py", "tests/artifacts/test_choose.py"
_VERIFY = "ultraface_deploy/artifacts/verify.py", "tests/artifacts/test_verify.py"
_MAKING = "ultraface_deploy/artifacts/making.py", "tests/artifacts/test_convert.py"
_RECOGNITION = "ultraface_deploy/artifacts/recognition.py", "tests/artifacts/test_recognition.py"
_GATE = "ultraface_deploy/quantize/gate.py", "tests/quantize/test_gate.py"
_TABLE = "ultraface_deploy/quantize/table.py", "tests/quantize/test_table.py"
_PRECISION = "ultraface_deploy/agreement/precision.py", "tests/agreement/test_precision.py"
_FACES = "ultraface_deploy/agreement/faces.py", "tests/agreement/test_faces.py"
_COMPARISON = "ultraface_deploy/agreement/comparison.py", "tests/agreement/test_comparison.py"
_FILES = "ultraface_deploy/safe/files.py", "tests/safe/test_files.py"
_LIMITS = "ultraface_deploy/safe/limits.py", "tests/safe/test_limits.py"
_PULL = "models/pull.py", "tests/models/test_pull.py"
_IMAGES = "ultraface_deploy/safe/images.py", "tests/safe/test_images.py"
_NMS = "ultraface_deploy/pipeline/nms.py", "tests/pipeline/test_nms.py"
_OVERLAPS = "ultraface_deploy/family/boxes.py", "tests/pipeline/test_nms.py"
_POST = "ultraface_deploy/pipeline/postprocess.py", "tests/pipeline/test_postprocess.py"
_STATISTICS = "ultraface_deploy/bench/statistics.py", "tests/bench/test_statistics.py"
_BENCH = "ultraface_deploy/bench/comparison.py", "tests/bench/test_comparison.py"
_CHECKPOINT = "ultraface_deploy/family/checkpoint.py", "tests/family/test_checkpoint.py"
_ZIPS = "ultraface_deploy/safe/zips.py", "tests/safe/test_zips.py"
_TENSORS = "ultraface_deploy/family/tensors.py", "tests/family/test_checkpoint.py"
_WIDER = "ultraface_deploy/wider/matching.py", "tests/wider/test_protocol.py"
_ONNX = "converters/onnx/header.py", "tests/converters/onnx/test_header.py"


def _in(place: tuple[str, str], what: str, before: str, after: str) -> Mutant:
    return Mutant(what, place[0], before, after, place[1])


MUTANTS = (
    _in(
        _FOLDER,
        "a file without a recorded hash is accepted",
        "artifact.sha256.get(name)",
        "artifact.sha256.get(name, sha256_of(path))",
    ),
    _in(
        _FOLDER,
        "the old manifest entry is not withdrawn before its files change",
        "replace(current, artifacts=others)._write()",
        "pass",
    ),
    _in(
        _FOLDER,
        "any remark counts as verified",
        'self.verification.get("passed") is True',
        'self.verification.get("passed")',
    ),
    _in(
        _FOLDER,
        "entries of another network are kept",
        "on_disk.spec == self.spec and on_disk.source == self.source",
        "True",
    ),
    _in(
        (_RECOGNITION[0], _CHOOSE[1]),
        "an unverified artifact is loaded in the process itself",
        "if not artifact.verified and",
        "if False and",
    ),
    _in(
        _VERIFY,
        "an unverified artifact is verified in the process itself",
        "if problem is None and artifact.verified:",
        "if problem is None:",
    ),
    _in(
        _VERIFY,
        "a changed file passes verify",
        "replace(measured, passed=False, reason",
        "replace(measured, reason",
    ),
    _in(
        _MAKING,
        "a checkpoint changed between reading and converting",
        "self.source.require_unchanged(copy)",
        "pass",
    ),
    _in(
        _MAKING,
        "an ONNX file changed between reading and converting",
        "self.source.require_unchanged()",
        "pass",
    ),
    _in(
        _RECOGNITION,
        "a file replaced while a child tried it",
        "for path in files) != digests:",
        "for path in files) != digests and False:",
    ),
    _in(
        ("models/__init__.py", _RECOGNITION[1]),
        "every ONNX file is taken for one that ships",
        "any(entry.onnx_sha256 == sha256 for",
        "any(True for",
    ),
    _in(
        _PRECISION,
        "the INT8 bound of F1",
        '"int8": PrecisionRecord(Tolerance(None, None, f1=0.97',
        '"int8": PrecisionRecord(Tolerance(None, None, f1=0.5',
    ),
    _in(
        _PRECISION,
        "the INT8 bound of the mean IoU",
        '"int8": PrecisionRecord(Tolerance(None, None, f1=0.97, mean_iou=0.93',
        '"int8": PrecisionRecord(Tolerance(None, None, f1=0.97, mean_iou=0.5',
    ),
    _in(
        _GATE,
        "the gate does not look at the faces",
        "problems = same.objections(runner.tolerance)",
        "problems: list[str] = []",
    ),
    _in(_GATE, "the gate does not look at AP", "verdict.ap_drop > MAX_AP_DROP", "False"),
    _in(_FACES, "the mean IoU is not held", "if self.mean_iou < tolerance.mean_iou:", "if False:"),
    _in(_FACES, "F1 is not held", "if self.f1 < tolerance.f1:", "if False:"),
    _in(
        _COMPARISON,
        "tensors beyond the tolerance",
        'values[f"max_abs_{name}"] > bound:',
        "False:",
    ),
    _in(
        _COMPARISON,
        "outputs that are not finite",
        "if not all(np.isfinite(value) for value in values.values()):",
        "if False:",
    ),
    _in(
        _TABLE,
        "a calibration table of other weights",
        "abs(norm - norms[name]) > _SAME_WEIGHTS * abs(norm)",
        "False",
    ),
    _in(
        _FILES,
        "written in place instead of renamed",
        "temporary.replace(path)",
        "path.write_bytes(temporary.read_bytes())",
    ),
    _in(_FILES, "not on the disk before it gets its name", "_sync(temporary)", "pass"),
    _in(_FILES, "a name that leads out of its folder", 'or ".." in parts ', ""),
    _in(_FILES, "an empty file", "if path.stat().st_size == 0:", "if False:"),
    _in(_LIMITS, "a limit one byte lower", "if size > self.bytes:", "if size >= self.bytes:"),
    _in(_LIMITS, "no limit at all", "if size > self.bytes:", "if False:"),
    _in(
        _PULL,
        "a download with another hash",
        "if found != entry.sha256:",
        "if False:",
    ),
    _in(
        _PULL,
        "a cached file that was changed",
        "if sha256_of(path) != entry.sha256:",
        "if False:",
    ),
    _in(_PULL, "more bytes than announced allowed", "if have > _MAX_BYTES:", "if False:"),
    _in(_PULL, "a redirect to http", "_check_address(newurl)", "pass"),
    _in(
        _IMAGES,
        "a picture larger than the limit",
        "Limit.PICTURE.check(path)\n        return",
        "return",
    ),
    _in(
        _NMS,
        "the last of equal scores",
        'return (-scores).argsort(kind="stable")',
        "return scores.argsort(kind='stable')[::-1]",
    ),
    _in(
        _OVERLAPS,
        "an overlap at the threshold (hard)",
        "area.take(first) + area.take(second)) > iou_threshold",
        "area.take(first) + area.take(second)) >= iou_threshold",
    ),
    _in(_NMS, "an overlap at the threshold (blend)", "pixel=1.0) > iou", "pixel=1.0) >= iou"),
    _in(
        _NMS,
        "a score at the threshold (soft)",
        "scores > score_threshold",
        "scores >= score_threshold",
    ),
    _in(
        _NMS,
        "the last of equal scores (soft)",
        "int(np.argmax(scores))",
        "len(scores) - 1 - int(np.argmax(scores[::-1]))",
    ),
    _in(
        _POST,
        "a score at the threshold",
        "(scores > threshold).nonzero()",
        "(scores >= threshold).nonzero()",
    ),
    _in(
        _POST,
        "the last of equal scores enter",
        "best_first(sure)[: options.candidates]",
        "sure.argsort(kind='stable')[::-1][: options.candidates]",
    ),
    _in(_POST, "one face more than asked", "faces[: options.top_k]", "faces[: options.top_k + 1]"),
    _in(_STATISTICS, "the interval is not widened", "centre + (logs - centre) * widening", "logs"),
    _in(
        _BENCH,
        "results of other machines are compared",
        "if earlier.get(name) != later.get(name):",
        "if False:",
    ),
    _in(
        _BENCH,
        "results of other photographs are compared",
        'if before.settings.get("image_sha256") != after.settings.get("image_sha256"):',
        "if False:",
    ),
    _in(
        _ZIPS,
        "the unpacked size is not checked",
        "limit.check(path, sum(record.file_size for record in records))",
        "pass",
    ),
    _in(_TENSORS, "the packed size is not checked", '"checkpoint", Limit.MODEL)', '"checkpoint")'),
    _in(
        _CHECKPOINT,
        "weights that are not finite",
        "and not tensors[key].to(expected[key].dtype).isfinite().all()",
        "and False",
    ),
    _in(_WIDER, "an overlap at the threshold", ">= IOU_THRESHOLD", "> IOU_THRESHOLD"),
    _in(
        _WIDER,
        "the last of equal scores",
        'np.argsort(-scores, kind="stable")',
        "np.argsort(scores, kind='stable')[::-1]",
    ),
    _in(_ONNX, "weights in other files", "if _leads_to_location(_read(path)):", "if False:"),
)


def survives(mutant: Mutant) -> bool:
    """Apply a mutation to a copy and return whether its test file still passes."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        copy = Path(folder) / "checkout"
        for name in _COPIED:
            source, target = ROOT / name, copy / name
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, target)
        (copy.parent / "shared").symlink_to(ROOT.parent / "shared")
        mutant.apply(copy)
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
        done = subprocess.run([*command, mutant.test], cwd=copy, capture_output=True, text=True)
        # 1: a test failed. Anything else (no tests, a broken file) proves nothing.
        if done.returncode not in (0, 1):
            raise SystemExit(f"{mutant.test}: pytest ended with {done.returncode}\n{done.stdout}")
        return done.returncode == 0


def main(words: list[str]) -> None:
    """Try the mutations one after the other and say which survive."""
    chosen = [m for m in MUTANTS if not words or any(word in m.file for word in words)]
    alive = 0
    for mutant in chosen:
        survived = survives(mutant)
        alive += survived
        print(
            f"{'SURVIVED' if survived else 'killed':<8}  {mutant.file}: {mutant.what}", flush=True
        )
    print(f"{len(chosen) - alive} of {len(chosen)} killed")
    raise SystemExit(1 if alive else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
