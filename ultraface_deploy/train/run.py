"""Training in one call: find the recipe, the data and the teachers, and run."""

# Tested by tests/train/test_command.py.

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from ultraface_deploy.errors import InputError
from ultraface_deploy.family.checkpoint import Checkpoint, load_checkpoint
from ultraface_deploy.family.nets import UltraFace
from ultraface_deploy.family.tensors import SAFETENSORS
from ultraface_deploy.models import find, known_checkpoint, registry
from ultraface_deploy.models.pull import checkpoint_of, require_pulled
from ultraface_deploy.safe.files import make_folder, sha256_of
from ultraface_deploy.safe.text import counted
from ultraface_deploy.train import processes
from ultraface_deploy.train.balance import some, write_balanced
from ultraface_deploy.train.data import Classes, Sample, read_dataset
from ultraface_deploy.train.data.cache import ImageCache, Store
from ultraface_deploy.train.loop import Trainer, cache_side, start_from
from ultraface_deploy.train.recipe import Recipe
from ultraface_deploy.train.scores import write_matched
from ultraface_deploy.train.stage import Progress
from ultraface_deploy.train.teachers import TeacherSource


def train(
    data: Sequence[Path],
    output: Path,
    recipe: Recipe,
    *,
    teachers: Iterable[Path] = (),
    init: Path | None = None,
    resume: bool = False,
    classes: Classes | None = None,
    cache: Path | Store = "disk",
    max_minutes: float = 0.0,
    report: Callable[[str], None] = lambda message: None,
    on_image: Callable[[int], None] = lambda total: None,
    on_step: Callable[[Progress], None] = lambda progress: None,
    on_epoch: Callable[[Progress], None] = lambda progress: None,
) -> Path:
    """Train a network and return the checkpoint with the best AP on the held-out images.

    It is `best.pth`, `balanced.pth` where the recipe balances the scores of its anchors, or
    `matched.pth` where it asks for another network's.

    Args:
        data: data sets in the VOC, WIDER FACE, RetinaFace or YOLO layout.
        output: folder of the run.
        recipe: what decides the result; see `recipe.choose_recipe`.
        teachers: checkpoints (or the ONNX file of YuNet) that the recipe names; published
            checkpoints that are not given must have been pulled.
        init: checkpoint to start from, in place of random weights.
        resume: go on where the run in `output` stopped.
        classes: which of the data sets' classes are faces; None for `face`, or their only one.
        cache: where the decoded images lie: a folder, `disk` for one in `output`, `ram`, or `off`.
        max_minutes: end the run when it has taken that long; 0 for the recipe's epochs.
        report: told of what is skipped.
        on_image: called with the number of images after each image that is decoded.
        on_step: called every few steps.
        on_epoch: called after every epoch.

    Raises:
        InputError: data, recipe or a checkpoint cannot be used, `output` holds another run, or none
            to resume.
    """
    with processes.process_group():
        checkpoint = output / "last.pth"
        if checkpoint.exists() and not resume:
            raise InputError(f"{output}: holds a run; go on with `resume` or choose another folder")
        _refuse_replacing(output, checkpoint)
        if resume and not checkpoint.exists():
            raise InputError(f"{output}: holds no run to go on with; leave `resume` out")
        if classes is not None and classes.count > recipe.num_classes:
            recipe = replace(recipe, num_classes=classes.count)
        if classes is not None and len(classes.names) == recipe.num_classes - 1:
            recipe = replace(recipe, class_names=classes.names)
        teaching = find_teachers(recipe, teachers)
        start = None if init is None else _start(init, recipe, report)
        samples = [read_dataset(root, "train", report, classes) for root in data]
        every = [sample for part in samples for sample in part]
        make_folder(output)
        trainer = Trainer(
            recipe,
            samples,
            output,
            teachers=teaching,
            init=start,
            cache=_decoded(every, output / "cache", cache, cache_side(recipe), report, on_image),
            max_minutes=max_minutes,
            on_step=on_step,
            on_epoch=on_epoch,
        )
        if checkpoint.exists():
            trainer.resume(checkpoint)
        best = trainer.fit()
        if processes.rank():
            return best
        return _matched(trainer, _balanced(trainer, best, report), report)


def _balanced(trainer: Trainer, best: Path, report: Callable[[str], None]) -> Path:
    """Return the best checkpoint with the scores of its anchors in one order, `balanced.pth`."""
    if not trainer.recipe.balance:
        return best
    output, weights = trainer.folder / "balanced.pth", trainer.recipe.balance
    try:
        own = load_checkpoint(best)
        found = write_balanced(
            *(own, trainer.samples, trainer.cache, some(trainer.training), output), weights=weights
        )
    except InputError as error:
        report(f"scores are not balanced: {error}")
        return best
    change = ", ".join(f"{each:+.4f}" for each in found.after - found.before)
    report(f"scores balanced, AP of easy, medium, hard on images of the training {change}")
    return output


def _matched(trainer: Trainer, best: Path, report: Callable[[str], None]) -> Path:
    """Return the best checkpoint with the scores that the recipe asks for, in `matched.pth`."""
    like = trainer.teachers.get(trainer.recipe.scores_like)
    if not isinstance(like, Checkpoint):
        return best
    held_out = [index for part in trainer.held_out for index in part]
    output = trainer.folder / "matched.pth"
    try:
        own = load_checkpoint(best)
        found = write_matched(own, like, trainer.samples, trainer.cache, held_out, output)
    except InputError as error:
        report(f"scores stay as trained: {error}")
        return best
    report(
        f"scores mean those of {trainer.recipe.scores_like}: {found.scale:.3f} times the logit, "
        f"{found.shift:+.3f}"
    )
    return output


def _refuse_replacing(output: Path, checkpoint: Path) -> None:
    """Refuse a folder whose weights are not those of a run that stands there, or was killed."""
    killed = (output / "metrics.csv").exists() and not (output / "training.html").exists()
    for path in (output / "best.pth", output / f"best{SAFETENSORS}"):
        if path.exists() and not checkpoint.exists() and not killed:
            raise InputError(
                f"{path}: would be replaced, and belongs to no run in that folder; "
                "choose another folder with `output`, or remove it"
            )


def find_teachers(recipe: Recipe, given: Iterable[Path]) -> dict[str, TeacherSource]:
    """Return the recipe's teachers by name: the given files, else what ships or was pulled before.

    A given file is known by its SHA-256, or else by its name without suffix. One file that the
    recipe does not name teaches in place of all that it names.

    Raises:
        InputError: one is neither given nor on this machine; says how to get all of them.
    """
    found: dict[str, TeacherSource] = {}
    for path in given:
        if path.suffix == ".onnx":
            found[path.stem] = path
            continue
        checkpoint = load_checkpoint(path)
        entry = known_checkpoint(sha256_of(path))
        found[entry.name if entry else path.stem] = checkpoint
    needed = {role.name for stage in recipe.stages for role in stage.teachers}
    needed |= {recipe.scores_like} - {""}
    if len(found) == 1 and not needed & set(found):
        return dict.fromkeys(needed, next(iter(found.values())))
    lacking = sorted(needed - set(found))
    if unknown := [name for name in lacking if name not in registry()]:
        raise InputError(f"teacher {unknown[0]} of the recipe: give its file by `teacher`")
    require_pulled(lacking)
    return found | {name: load_checkpoint(checkpoint_of(find(name))) for name in lacking}


def _start(init: Path, recipe: Recipe, report: Callable[[str], None]) -> Checkpoint:
    checkpoint = load_checkpoint(init, size_known=True)
    wanted = recipe.spec.architecture
    if checkpoint.spec.architecture != wanted:
        raise InputError(
            f"{init}: is a {checkpoint.spec.architecture} network; this run trains {wanted}; "
            "give one of these"
        )
    spec = recipe.spec
    net = UltraFace(wanted, spec.num_classes, channels=spec.channels)
    for remark in start_from(net, checkpoint):
        report(f"{init}: {remark}")
    return checkpoint


def _decoded(
    samples: Sequence[Sample],
    folder: Path,
    cache: Path | Store,
    side: int,
    report: Callable[[str], None],
    on_image: Callable[[int], None],
) -> ImageCache:
    store: Store = "disk" if isinstance(cache, Path) else cache
    folder = cache if isinstance(cache, Path) else folder
    where = {"disk": f"in {folder}", "ram": "in memory", "off": "not kept: decoded at each use"}
    most = 3 * side**2 * len(samples) / 1e9
    size = "" if store == "off" else f", up to {most:.1f} GB"
    report(f"{counted(len(samples), 'image')} of up to {side} pixels{size}, {where[store]}")
    total = len(samples) * (1 if store == "off" else 2)
    with processes.first_alone():
        return ImageCache(samples, folder, side, lambda: on_image(total), store)
