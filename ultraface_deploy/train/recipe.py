"""Recipes: everything that decides what a training run gives, in one file."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from ultraface_deploy.errors import InputError
from ultraface_deploy.family.spec import Architecture, ModelSpec, parse_input_size
from ultraface_deploy.safe.files import PARSE_ERRORS, read_text, require_file
from ultraface_deploy.safe.limits import Limit
from ultraface_deploy.safe.records import build
from ultraface_deploy.train.augment import Augmentation

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDER = Path(__file__).parent / "recipes"


@dataclass(frozen=True)
class Weights:
    """What the loss of a stage is made of; a weight of 0 switches a part off.

    `labels`: multibox loss on the labels; `outputs`: the teacher's scores; `boxes`: its boxes;
    `features`: what its convolutions give (a teacher of the same architecture).
    """

    labels: float = 1.0
    outputs: float = 0.0
    boxes: float = 0.0
    features: float = 0.0


@dataclass(frozen=True)
class Stage:
    """One stretch of training with its own objective, optimizer and schedule.

    `teacher` names a registered checkpoint. `windows` draws that many windows of each image,
    which then recur with other colours while the teacher's answers are remembered; 0 draws a new
    one every epoch. With `layerwise` each convolution learns alone to give what the teacher's
    gives, from what the teacher's is given, instead of the whole network end to end.
    `input_size` trains at another size than the network's. `freeze_bn` keeps the BatchNorm
    statistics, which a layer-wise stage measures first: small batches then add no noise.
    `schedule` cosine falls to a hundredth; multistep falls tenfold at the `milestones` (fractions
    of the stage). `ema` is the decay of the averaged weights; 0 switches averaging off.
    """

    name: str
    epochs: int
    batch_size: int = 16
    optimizer: Literal["sgd", "adamw"] = "sgd"
    lr: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 5e-4
    schedule: Literal["cosine", "multistep"] = "cosine"
    milestones: tuple[float, ...] = (0.6, 0.85)
    warmup_steps: int = 200
    clip_norm: float = 10.0
    ema: float = 0.998
    freeze_bn: bool = False
    layerwise: bool = False
    teacher: str | None = None
    windows: int = 0
    input_size: str | None = None
    weights: Weights = field(default_factory=Weights)
    augment: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        if not (self.epochs and self.batch_size):
            raise InputError(f"recipe, stage {self.name}: epochs and batch_size must be 1 or more")
        needs_teacher = (
            self.layerwise or self.weights.outputs or self.weights.boxes or self.weights.features
        )
        if needs_teacher and not self.teacher:
            raise InputError(f"recipe, stage {self.name}: its loss needs a teacher; name one")
        if self.windows and (self.layerwise or self.weights.features):
            raise InputError(
                f"recipe, stage {self.name}: features are not remembered; set windows = 0"
            )
        for option, known in (
            ("optimizer", ("sgd", "adamw")),
            ("schedule", ("cosine", "multistep")),
        ):
            if getattr(self, option) not in known:
                raise InputError(
                    f"recipe, stage {self.name}: {option} {getattr(self, option)!r} is not known; "
                    f"choose from {', '.join(known)}"
                )


@dataclass(frozen=True)
class Recipe:
    """The network, the seed and the stages. `holdout` is the share of images kept for AP."""

    architecture: Architecture
    width: int
    height: int
    stages: tuple[Stage, ...]
    seed: int = 1
    holdout: float = 0.04

    @property
    def spec(self) -> ModelSpec:
        """What the trained network will be."""
        name = f"{self.architecture}-{self.width}"
        return ModelSpec(name, self.architecture, self.width, self.height)


def load_recipe(path: Path) -> Recipe:
    """Read a recipe from a TOML file.

    Raises:
        InputError: missing, no TOML, or a key or value that no recipe has.
    """
    require_file(path, "recipe", Limit.TEXT)
    try:
        data = tomllib.loads(read_text(path))
        width, height = parse_input_size(data.pop("input_size", "320x240"))
        recipe = build(Recipe, {**data, "width": width, "height": height})
    except PARSE_ERRORS as error:
        raise InputError(f"{path}: not a recipe ({error}); see {FOLDER}") from error
    if recipe.architecture not in get_args(Architecture) or not recipe.stages:
        raise InputError(f"{path}: needs an architecture (slim or rfb) and [[stages]]")
    return recipe


def choose_recipe(
    architecture: str | None = None,
    path: Path | None = None,
    input_size: str | None = None,
    seed: int | None = None,
) -> Recipe:
    """Return the recipe of a file, or the one that a shipped checkpoint was trained with.

    Args:
        architecture: slim or rfb, in place of the file's; without a file, whose recipe it is.
        path: a recipe file; None for the shipped model's.
        input_size: WIDTHxHEIGHT in place of the recipe's.
        seed: in place of the recipe's.

    Raises:
        InputError: an unknown architecture, or the file is not a recipe.
    """
    if architecture not in (None, *get_args(Architecture)):
        raise InputError(f"--arch {architecture}: unknown; choose slim or rfb")
    recipe = load_recipe(path or FOLDER / f"{architecture or 'slim'}-320.toml")
    changes: dict[str, Any] = {"architecture": architecture, "seed": seed}
    if input_size is not None:
        changes["width"], changes["height"] = parse_input_size(input_size)
    return replace(recipe, **{key: value for key, value in changes.items() if value is not None})
