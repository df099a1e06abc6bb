"""Trying recipes until one is good enough, fast ones first, and keeping the best that passes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ultraface_deploy.errors import ToolFailed
from ultraface_deploy.quantize.gate import Gate, Runner, Verdict
from ultraface_deploy.quantize.int8 import Goal


@dataclass(frozen=True)
class Candidate:
    """One way to make an INT8 artifact.

    `make` writes the files into an empty folder and returns them in the order of the manifest.
    `int8_share` is the share of multiplications that become INT8.
    """

    name: str
    int8_share: float
    make: Callable[[Path], Sequence[Path]]


@dataclass(frozen=True)
class Trial:
    """A candidate that was tried: what it weighs and what the gate said.

    `judged` is False where it never came to the gate: its tool failed, or it is too large.
    """

    name: str
    int8_share: float
    bytes: int
    verdict: Verdict
    files: tuple[Path, ...] = ()
    judged: bool = True
    goal: Goal = Goal()  # noqa: RUF009 - frozen

    @property
    def good_enough(self) -> bool:
        """Whether nothing better needs to be looked for."""
        verdict, goal = self.verdict, self.goal
        close = verdict.f1 >= goal.f1 and verdict.score_error <= goal.score_error
        return verdict.passed and close

    def __str__(self) -> str:
        verdict = self.verdict
        what = f"{self.name}: {self.bytes / 1000:.0f} kB, {self.int8_share:.0%} in INT8: "
        if not self.judged:
            return f"{what if self.bytes else self.name + ': '}rejected: {verdict.reason}"
        loss = "" if verdict.ap_drop is None else f", AP {-verdict.ap_drop:+.4f}"
        measured = (
            f"same faces F1 {verdict.f1:.3f}, boxes overlap {verdict.mean_iou:.3f}, "
            f"scores off by {verdict.score_error:.3f}{loss}"
        )
        if not verdict.passed:
            return f"{what}rejected: {verdict.reason} ({measured})"
        if self.good_enough:
            return f"{what}{measured}: good enough"
        goal = self.goal
        return f"{what}{measured}: passes, but is not within F1 {goal.f1} and {goal.score_error}"

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        data = asdict(self)
        del data["files"], data["goal"]
        return data | {"passed": self.verdict.passed}


@dataclass(frozen=True)
class Search:
    """All trials, and the one that was kept; None if none passed."""

    trials: tuple[Trial, ...]
    best: Trial | None
    out_of_time: bool

    @property
    def choice(self) -> str:
        """Say which candidate was kept, and why."""
        if self.best is None:
            return f"none of {len(self.trials)} candidates passed"
        if self.best.good_enough:
            return f"kept {self.best.name}: the first within the goal"
        passed = sum(trial.verdict.passed for trial in self.trials)
        why = (
            "the only one that passed" if passed == 1 else f"scores nearest of {passed} that passed"
        )
        return f"kept {self.best.name}: {why}"


def search(
    candidates: Iterable[Candidate],
    gate: Gate,
    runner: Runner,
    scratch: Path,
    *,
    max_bytes: int,
    budget_s: float,
    goal: Goal = Goal(),  # noqa: B008 - frozen
    on_trial: Callable[[Trial], None] = lambda trial: None,
) -> Search:
    """Try candidates in their order.

    The first that reaches the goal ends the search; else the one of least score error among
    those that passed is kept. The order of the candidates and that rule decide, not the clock:
    the budget only stops a search that would take too long, and then says so.

    Args:
        candidates: what to try, those that compute most in INT8 first.
        gate: the judge.
        runner: runs the artifacts.
        scratch: a folder for the files; each candidate gets a folder of its own.
        max_bytes: larger artifacts are rejected: INT8 is there to be small.
        budget_s: no candidate is begun later than this; the first always is.
        goal: what ends the search.
        on_trial: told each trial as it ends.
    """
    started = time.monotonic()
    trials: list[Trial] = []
    out_of_time = False
    for index, candidate in enumerate(candidates):
        if trials and time.monotonic() - started > budget_s:
            out_of_time = True
            break
        folder = scratch / f"candidate-{index}"
        folder.mkdir()
        trial = _try(candidate, gate, runner, folder, max_bytes)
        trials.append(replace(trial, goal=goal))
        on_trial(trials[-1])
        if trials[-1].good_enough:
            break
    return Search(tuple(trials), _best(trials), out_of_time)


def _try(candidate: Candidate, gate: Gate, runner: Runner, folder: Path, max_bytes: int) -> Trial:
    try:
        files = tuple(candidate.make(folder))
    except ToolFailed as error:
        return Trial(candidate.name, candidate.int8_share, 0, _rejected(str(error)), judged=False)
    size = sum(file.stat().st_size for file in files)
    if size > max_bytes:
        verdict = _rejected(f"more than the allowed {max_bytes / 1000:.0f} kB")
        return Trial(candidate.name, candidate.int8_share, size, verdict, files, judged=False)
    verdict = gate.judge(runner, files)
    if verdict.passed:
        # Else the one that is chosen could fail afterwards, and another would not.
        verdict = replace(verdict, reason=runner.objection(files))
    return Trial(candidate.name, candidate.int8_share, size, verdict, files)


def _best(trials: Sequence[Trial]) -> Trial | None:
    passed = [trial for trial in trials if trial.verdict.passed]
    if not passed:
        return None
    if trials[-1].good_enough:
        return trials[-1]
    return min(passed, key=lambda trial: trial.verdict.score_error)


def _rejected(reason: str) -> Verdict:
    return Verdict(0.0, 0.0, 0.0, 0.0, 1.0, 0, reason=reason)
