"""Times configurations in turns, so that whatever drifts on the machine hits all of them alike."""

from __future__ import annotations

import math
import random
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil

from ultraface_deploy.backends import get_backend
from ultraface_deploy.bench import machine
from ultraface_deploy.bench.driver import WORKER, Worker
from ultraface_deploy.bench.measurement import Launch, Measurement, Round
from ultraface_deploy.bench.plan import Configuration
from ultraface_deploy.bench.result import BenchReport, Failure
from ultraface_deploy.bench.statistics import median_interval
from ultraface_deploy.bench.watch import Watch
from ultraface_deploy.errors import UltraFaceError, WorkerFailed
from ultraface_deploy.safe.child import run_in_child
from ultraface_deploy.safe.files import sha256_of
from ultraface_deploy.safe.images import DEMO_PHOTO
from ultraface_deploy.safe.limits import Limit
from ultraface_deploy.safe.text import counted

_MB_PER_WORKER = 300
_BUSY_CORES = 0.15
_BUSY_SAMPLES = 0.05
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


@dataclass(frozen=True)
class _Recorded:
    """What a configuration is compared with: `name` of the network, and the file of its outputs.

    Without a file there is nothing to compare with, and `name` says why.
    """

    name: str
    file: str | None


@dataclass
class _Subject:
    """A configuration while it is being measured."""

    configuration: Configuration
    cores: list[int]
    reference: _Recorded
    launches: list[Launch] = field(default_factory=list)
    failure: str | None = None
    unverified: str | None = None
    verification: dict[str, Any] = field(default_factory=dict)
    first: dict[str, Any] = field(default_factory=dict)
    watch: Watch = field(init=False)

    def __post_init__(self) -> None:
        self.watch = Watch(self.cores)

    @property
    def title(self) -> str:
        c = self.configuration
        return f"{c.model} {c.backend} {c.artifact.precision} x{c.threads}"

    def job(self, image: str) -> dict[str, Any]:
        c = self.configuration
        return {
            "backend": c.backend,
            "files": [str(path.absolute()) for path in c.folder.files(c.artifact)],
            "spec": c.folder.spec.to_dict(),
            "precision": c.artifact.precision,
            "halves": c.artifact.passed_in_halves,
            "threads": c.threads,
            "cores": self.cores,
            "image": image,
        }

    def narrow(self, ci_percent: float) -> bool:
        """Whether the interval of the median inference is as narrow as wanted."""
        launches = [[r.milliseconds("inference") for r in la.rounds] for la in self.launches]
        low, high = median_interval(launches)
        return math.sqrt(high / low) - 1 <= ci_percent / 100


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
    before = machine.governors(), machine.frequencies_mhz()
    allowed = list(cores or machine.allowed_cores())
    with tempfile.TemporaryDirectory(prefix="ultraface-bench-") as scratch:
        references = _record_references(configurations, settings.image, Path(scratch))
        subjects = [
            _Subject(c, allowed[: c.threads], references[c.place, c.witnesses])
            for c in configurations
        ]
        _run(subjects, settings, command, on_progress)
    facts = machine.describe() | {
        "governors": sorted({*before[0], *machine.governors()}),
        "frequencies_mhz": {"before": before[1], "after": machine.frequencies_mhz()},
        "during": Watch.summary([subject.watch for subject in subjects]),
    }
    return BenchReport(
        machine=facts,
        settings=asdict(settings) | {"cores": allowed} | _run_facts(settings.image, subjects),
        measurements=tuple(_measurement(s) for s in subjects if s.failure is None),
        failures=tuple(_failure(s) for s in subjects if s.failure is not None),
    )


def _record_references(
    configurations: Sequence[Configuration], image: str, scratch: Path
) -> dict[tuple[Path, tuple[str, ...]], _Recorded]:
    recorded: dict[tuple[Path, tuple[str, ...]], _Recorded] = {}
    # The shipped photographs are compared on in any case.
    images = [] if image == str(DEMO_PHOTO) else [image]
    for c in configurations:
        if (c.place, c.witnesses) not in recorded:
            target = str(scratch / f"{len(recorded)}.npz")
            found = _itself(c, images, target) if c.file else _original(c, images, target)
            recorded[c.place, c.witnesses] = found
    return recorded


def _original(configuration: Configuration, images: list[str], target: str) -> _Recorded:
    folder = str(configuration.folder.path.absolute())
    run_in_child(
        "ultraface_deploy.bench.reference:record",
        {"folder": folder, "images": images, "target": target},
        what="the original network",
        memory=Limit.MODEL.bytes,
    )
    return _Recorded("the original network", target)


def _itself(configuration: Configuration, images: list[str], target: str) -> _Recorded:
    """Run a single file on the first other runtime that can."""
    c = configuration
    if get_backend(c.backend).runs_original:
        return _Recorded("it is the original, there is nothing to compare it with", None)
    for witness in c.witnesses:
        job = {
            "files": [str(path.absolute()) for path in c.folder.files(c.artifact)],
            "spec": c.folder.spec.to_dict(),
            "backend": witness,
            "precision": c.artifact.precision,
            "images": images,
            "target": target,
        }
        try:
            run_in_child(
                "ultraface_deploy.bench.reference:record_file",
                job,
                what=f"{witness} on {c.place.name}",
                memory=Limit.MODEL.bytes,
            )
        except UltraFaceError:
            continue  # What another runtime cannot read says nothing about this one.
        return _Recorded(f"itself on {witness}", target)
    return _Recorded(f"no original is known, and no other runtime here runs {c.place.name}", None)


def _run(
    subjects: list[_Subject],
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


def _sweep(group: list[_Subject], settings: BenchSettings, command: Sequence[str]) -> None:
    with ExitStack() as stack:
        workers: list[tuple[_Subject, Worker, bool]] = []
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


def _prove(subject: _Subject, worker: Worker) -> None:
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


def _time_round(subject: _Subject, worker: Worker, seconds: float) -> Round:
    with subject.watch.round() as watched:
        energy = machine.energy_uj()
        answer = worker.ask(do="round", seconds=seconds)
        watched.own_cpu_seconds += answer.pop("cpu_seconds")
        after = machine.energy_uj()
    # A meter that wrapped around says nothing about this round.
    spent = None if energy is None or after is None or after < energy else after - energy
    return Round(**answer, energy_uj=spent)


def _group_size() -> int:
    """How many children may be alive at once without filling the memory."""
    available = psutil.virtual_memory().available / (1 << 20)
    return max(1, min(16, int(available / 2 / _MB_PER_WORKER)))


def _measurement(subject: _Subject) -> Measurement:
    c = subject.configuration
    spec = c.folder.spec
    measured = Measurement(
        model=c.model,
        folder=str(c.place),
        width=spec.width,
        height=spec.height,
        artifact=c.artifact.id,
        backend=c.backend,
        backend_version=get_backend(c.backend).version(),
        precision=c.artifact.precision,
        threads=c.threads,
        cores=subject.cores,
        sha256=dict(c.artifact.sha256),
        source_sha256=c.folder.source.sha256,
        model_bytes=c.artifact.bytes,
        verification=subject.verification,
        launches=subject.launches,
    )
    return replace(measured, warnings=_warnings(subject, measured))


def _warnings(subject: _Subject, measured: Measurement) -> list[str]:
    found = [f"unverified: {subject.unverified}"] if subject.unverified else []
    threads, cores = measured.threads, len(measured.cores)
    if threads > cores:
        found.append(f"{threads} threads on {counted(cores, 'core')}")
    quota = machine.core_quota()
    if quota is not None and threads > quota:
        found.append(f"{threads} threads with the time of {quota:g} cores: a quota is set")
    found += sorted(subject.watch.throttled)
    others, lost = subject.watch.other_cores, measured.preempted_share
    # With several threads a sample counts as disturbed when any of them was.
    if others > _BUSY_CORES * min(threads, cores) or (threads == 1 and lost > _BUSY_SAMPLES):
        found.append(
            f"busy: other processes used {others:.1f} of its cores, "
            f"it was interrupted in {lost:.0%} of samples"
        )
    if saving := machine.power_saving(cores=measured.cores):
        found.append(f"governor {', '.join(saving)} saves power")
    return found


def _failure(subject: _Subject) -> Failure:
    c = subject.configuration
    return Failure(
        c.model,
        c.artifact.id,
        c.backend,
        c.artifact.precision,
        c.threads,
        subject.failure or "",
    )


def _run_facts(image: str, subjects: Sequence[_Subject]) -> dict[str, Any]:
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
