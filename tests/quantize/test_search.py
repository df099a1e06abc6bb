from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pytest

from ultraface_deploy.agreement.precision import Tolerance
from ultraface_deploy.errors import ToolFailed
from ultraface_deploy.quantize.gate import Gate, Runner, Verdict
from ultraface_deploy.quantize.int8 import Goal
from ultraface_deploy.quantize.search import Candidate, Search, Trial, search

RUNNER = Runner(lambda files, inputs: {}, Tolerance(None, None))


class Judge:
    """A gate that says what it was told to say, candidate by candidate."""

    def __init__(self, *verdicts: Verdict) -> None:
        self.verdicts = iter(verdicts)

    def judge(self, runner: Runner, files: Sequence[Path]) -> Verdict:
        assert runner is RUNNER
        assert all(file.is_file() for file in files)
        return next(self.verdicts)


def verdict(f1: float, error: float = 0.03, reason: str | None = None) -> Verdict:
    return Verdict(f1, f1, f1, 0.98, error, 100, reason=reason)


def candidate(name: str, size: int = 10) -> Candidate:
    def make(folder: Path) -> Sequence[Path]:
        (folder / "model").write_bytes(bytes(size))
        return [folder / "model"]

    return Candidate(name, 0.9, make)


def broken(name: str) -> Candidate:
    def make(folder: Path) -> Sequence[Path]:
        raise ToolFailed("MNN converter crashed with SIGSEGV")

    return Candidate(name, 0.9, make)


def run(
    tmp_path: Path, candidates: list[Candidate], *verdicts: Verdict, budget_s: float = 100
) -> Search:
    gate = cast(Gate, Judge(*verdicts))
    return search(candidates, gate, RUNNER, tmp_path, max_bytes=100, budget_s=budget_s)


def test_first_good_enough_ends_the_search(tmp_path: Path) -> None:
    found = run(tmp_path, [candidate("a"), candidate("b")], verdict(0.991, 0.01))
    assert found.best is not None
    assert found.best.name == "a"
    assert len(found.trials) == 1


def test_luck_with_few_faces_does_not_end_it(tmp_path: Path) -> None:
    found = run(tmp_path, [candidate("a"), candidate("b")], verdict(1.0, 0.05), verdict(0.98, 0.01))
    assert found.best is not None
    assert found.best.name == "b"


def test_another_goal_ends_it_earlier(tmp_path: Path) -> None:
    gate = cast(Gate, Judge(verdict(0.985, 0.03)))
    found = search(
        [candidate("a"), candidate("b")],
        gate,
        RUNNER,
        tmp_path,
        max_bytes=100,
        budget_s=100,
        goal=Goal(f1=0.98, score_error=0.035),
    )
    assert found.best is not None
    assert found.best.name == "a"


def test_least_error_is_kept_of_those_that_passed(tmp_path: Path) -> None:
    found = run(
        tmp_path,
        [candidate("a"), candidate("b"), candidate("c")],
        verdict(0.98, 0.03),
        verdict(0.98, 0.025),
        verdict(0.96, 0.01, "F1"),
    )
    assert found.best is not None
    assert found.best.name == "b"


def test_nothing_is_kept_if_nothing_passed(tmp_path: Path) -> None:
    found = run(tmp_path, [candidate("a"), broken("b")], verdict(0.5, 0.5, "F1 0.5"))
    assert found.best is None
    reasons = [trial.verdict.reason for trial in found.trials]
    assert reasons == ["F1 0.5", "MNN converter crashed with SIGSEGV"]


def test_too_large_is_rejected_without_a_run(tmp_path: Path) -> None:
    found = run(tmp_path, [candidate("a", size=101)])
    assert found.best is None
    assert "allowed" in str(found.trials[0].verdict.reason)


def test_budget_stops_but_never_before_the_first(tmp_path: Path) -> None:
    found = run(tmp_path, [candidate("a"), candidate("b")], verdict(0.98), budget_s=0)
    assert found.out_of_time
    assert len(found.trials) == 1
    assert found.best is not None


def test_trials_tell_what_happened() -> None:
    trial = Trial("p99", 0.9, 300_000, verdict(0.9, reason="F1 0.900"))
    assert "300 kB" in str(trial)
    assert "F1 0.900" in str(trial)
    assert trial.to_dict()["passed"] is False
    assert not trial.good_enough
    with pytest.raises(AttributeError):
        trial.bytes = 1  # type: ignore[misc]


def test_a_line_a_person_can_read() -> None:
    fine = Trial("p99", 0.9, 300_000, verdict(0.995, 0.01))
    assert str(fine).endswith("good enough")
    passes = Trial("p99", 0.9, 300_000, verdict(0.98, 0.01))
    assert "passes, but is not within F1 0.99" in str(passes)
    large = Trial(
        "p99", 0.9, 400_000, verdict(0.0, 1.0, "more than the allowed 350 kB"), judged=False
    )
    assert str(large) == "p99: 400 kB, 90% in INT8: rejected: more than the allowed 350 kB"


def test_the_choice_says_why() -> None:
    one, two = (
        Trial(name, 0.9, 1, verdict(0.98, error)) for name, error in (("a", 0.05), ("b", 0.04))
    )
    fine = Trial("c", 0.9, 1, verdict(0.995, 0.01))
    bad = Trial("d", 0.9, 1, verdict(0.5, 0.5, "F1 0.5"))
    assert Search((one, two), two, False).choice == "kept b: scores nearest of 2 that passed"
    assert Search((bad, one), one, False).choice == "kept a: the only one that passed"
    assert Search((one, fine), fine, False).choice == "kept c: the first within the goal"
    assert Search((bad,), None, False).choice == "none of 1 candidates passed"


def test_what_the_last_check_refuses_is_not_chosen(tmp_path: Path) -> None:
    """Neither as the first within the goal nor as the nearest; the next that passes is."""
    refused = {"candidate-0", "candidate-1"}
    asked: list[str] = []

    def objection(files: Sequence[Path]) -> str | None:
        asked.append(files[0].parent.name)
        return "faces agree with F1 0.947" if asked[-1] in refused else None

    strict = Runner(RUNNER.run, RUNNER.tolerance, objection)
    verdicts = iter(
        [verdict(0.999, 0.01), verdict(0.98, 0.02), verdict(0.97, 0.05, "lost"), verdict(0.98)]
    )

    class Says:
        def judge(self, runner: Runner, files: Sequence[Path]) -> Verdict:
            return next(verdicts)

    found = search(
        [candidate(name) for name in "abcd"],
        cast(Gate, Says()),
        strict,
        tmp_path,
        max_bytes=100,
        budget_s=100,
    )
    assert found.best is not None
    assert found.best.name == "d"
    assert found.trials[0].verdict.reason == "faces agree with F1 0.947"
    assert asked == ["candidate-0", "candidate-1", "candidate-3"]  # what failed is not asked about
