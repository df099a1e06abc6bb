"""Times configurations in turns, so that whatever drifts on the machine hits all of them alike."""

from __future__ import annotations

import random
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from ultraface_deploy.bench import machine, meters
from ultraface_deploy.bench.cores import allowed_cores
from ultraface_deploy.bench.driver import WORKER, Worker
from ultraface_deploy.bench.measurement import Launch, Round
from ultraface_deploy.bench.originals import record_references
from ultraface_deploy.bench.plan import Configuration
from ultraface_deploy.bench.result import BenchReport
from ultraface_deploy.bench.subject import Subject
from ultraface_deploy.bench.watch import Watch
from ultraface_deploy.errors import InputError, WorkerFailed
from ultraface_deploy.safe.files import sha256_of
from ultraface_deploy.safe.images import DEMO_PHOTO

_MB_PER_WORKER = 300
# One launch says nothing about how launches differ.
_FEWEST_LAUNCHES = 2


@dataclass(frozen=True)
class BenchSettings:
    """How long to measure.

    A configuration is launched in `min_launches` to `max_launches` fresh processes, each timed for
    `launch_seconds` in rounds of `round_seconds`; no more are launched once the 95 % confidence
    interval of its median inference is within `ci_percent` to either side. After two launches of
    each, none begins that would end later than `run_seconds` after the start.
    """

    min_launches: int = 4
    max_launches: int = 6
    launch_seconds: float = 0.9
    round_seconds: float = 0.1
    warm_up_seconds: float = 0.5
    ci_percent: float = 1.0
    run_seconds: float = 90.0
    image: str = str(DEMO_PHOTO)

    def __post_init__(self) -> None:
        if not 1 <= self.min_launches <= self.max_launches:
            raise InputError(
                f"`min_launches` {self.min_launches}, `max_launches` {self.max_launches}: "
                "give 1 or more, the second no less than the first"
            )
        for name in ("launch_seconds", "round_seconds"):
            if not getattr(self, name) > 0:
                raise InputError(f"`{name}` {getattr(self, name):g}: give more than 0")

    @property
    def rounds(self) -> int:
        """Rounds a launch."""
        return max(2, round(self.launch_seconds / self.round_seconds))


@dataclass(frozen=True)
class BenchProgress:
    """Where a run is: `done` of `total` launches at most, and what is being done."""

    done: int
    total: int
    doing: str


OnProgress = Callable[[BenchProgress], None]


def measure(
    configurations: Sequence[Configuration],
    settings: BenchSettings | None = None,
    cores: Sequence[int] | None = None,
    on_progress: OnProgress = lambda progress: None,
    command: Sequence[str] = WORKER,
) -> BenchReport:
    """Time configurations, each in processes of its own, interleaved round by round.

    Args:
        configurations: what to time, see `plan.configurations`.
        settings: how long.
        cores: what to pin to: N threads run on the first N of these; None for all allowed.
        on_progress: called as each launch begins.
        command: the timing child; experiments put another in its place.

    Returns:
        A measurement of each configuration that ran and was verified, a failure of each other.

    Raises:
        InputError: a folder holds no original network to verify against.
    """
    settings = settings or BenchSettings()
    before = meters.governors(), meters.frequencies_mhz()
    allowed = list(cores or allowed_cores())
    with tempfile.TemporaryDirectory(prefix="ultraface-bench-") as scratch:
        references = record_references(configurations, settings.image, Path(scratch))
        subjects = [
            Subject(c, allowed[: c.threads], references[c.place, c.witnesses])
            for c in configurations
        ]
        _run(subjects, settings, command, on_progress)
    facts = machine.describe() | {
        "governors": sorted({*before[0], *meters.governors()}),
        "frequencies_mhz": {"before": before[1], "after": meters.frequencies_mhz()},
        "during": Watch.summary([subject.watch for subject in subjects]),
    }
    return BenchReport(
        machine=facts,
        settings=asdict(settings) | {"cores": allowed} | _run_facts(settings.image, subjects),
        measurements=tuple(s.measurement() for s in subjects if s.failure is None),
        failures=tuple(s.failed() for s in subjects if s.failure is not None),
    )


def _run(
    subjects: list[Subject],
    settings: BenchSettings,
    command: Sequence[str],
    on_progress: OnProgress,
) -> None:
    """Sweep over all configurations; each sweep is one more launch of each that needs it."""
    total = len(subjects) * settings.max_launches
    done = 0
    size = _group_size()
    shuffle = random.Random(0).shuffle
    started = time.monotonic()
    taken = 0.0
    for sweep in range(settings.max_launches):
        began = time.monotonic()
        if sweep >= _FEWEST_LAUNCHES and began + taken > started + settings.run_seconds:
            return
        open_ones = [s for s in subjects if s.failure is None]
        if sweep >= settings.min_launches:
            open_ones = [s for s in open_ones if not s.narrow(settings.ci_percent)]
        for start in range(0, len(open_ones), size):
            group = open_ones[start : start + size]
            shuffle(group)
            for subject in group:
                done += 1
                on_progress(BenchProgress(done, total, subject.title))
            _sweep(group, settings, command)
        taken = time.monotonic() - began


def _sweep(group: list[Subject], settings: BenchSettings, command: Sequence[str]) -> None:
    with ExitStack() as stack:
        workers: list[tuple[Subject, Worker, bool]] = []
        rounds: dict[int, list[Round]] = defaultdict(list)
        for subject in group:
            try:
                worker = stack.enter_context(Worker(subject.job(settings.image), command))
                _prove(subject, worker)
                stable = worker.ask(do="warm_up", seconds=settings.warm_up_seconds)["stable"]
                workers.append((subject, worker, stable))
            except WorkerFailed as error:
                subject.failure = str(error)
        for _ in range(settings.rounds):
            for subject, worker, _ in workers:
                if subject.failure is None:
                    try:
                        timed = _time_round(subject, worker, settings.round_seconds)
                        rounds[id(subject)].append(timed)
                    except WorkerFailed as error:
                        subject.failure = str(error)
        for subject, worker, stable in workers:
            if subject.failure is None:
                try:
                    peak = worker.ask(do="finish")["peak_rss_mb"]
                    cold = round(worker.cold_start_ms, 1)
                    subject.launches.append(Launch(cold, peak, rounds[id(subject)], stable))
                except WorkerFailed as error:
                    subject.failure = str(error)


def _prove(subject: Subject, worker: Worker) -> None:
    """Nothing is timed that has not just been found to compute what the original does.

    A single file without an original is compared with itself on another runtime, or timed
    unverified, which its warnings say.
    """
    subject.first = worker.first
    recorded = subject.reference
    if recorded.file is None:
        subject.unverified = recorded.name
        return
    comparison = worker.ask(do="verify", reference=recorded.file)
    if not comparison["passed"]:
        kind = "does not agree with" if subject.configuration.file else "is not"
        raise WorkerFailed(f"{kind} {recorded.name}: {comparison['reason']}")
    if subject.configuration.file and not comparison["reference_detections"]:
        subject.unverified = "no face was found on any runtime; check `mean`, `std` and `color`"
        return
    keys = ("max_abs_scores", "max_abs_boxes", "recall", "precision", "mean_iou", "images")
    subject.verification = {key: comparison[key] for key in keys}
    if subject.configuration.file:
        subject.verification["reference"] = recorded.name


def _time_round(subject: Subject, worker: Worker, seconds: float) -> Round:
    with subject.watch.round() as watched:
        energy = meters.energy_uj()
        answer = worker.ask(do="round", seconds=seconds)
        watched.own_cpu_seconds += answer.pop("cpu_seconds")
        after = meters.energy_uj()
    # A meter that wrapped around says nothing about this round.
    spent = None if energy is None or after is None or after < energy else after - energy
    return Round(**answer, energy_uj=spent)


def _group_size() -> int:
    """How many children may be alive at once without filling the memory."""
    available = psutil.virtual_memory().available / (1 << 20)
    return max(1, min(16, int(available / 2 / _MB_PER_WORKER)))


def _run_facts(image: str, subjects: Sequence[Subject]) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "image": Path(image).name,
        "image_sha256": sha256_of(Path(image)),
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    first = next((s.first for s in subjects if s.first), None)
    if first is None:
        return facts
    width, height = first["image"]
    return facts | {
        "image_size": f"{width}x{height}",
        "faces": first["faces"],
        "nice": first["nice"],
    }
