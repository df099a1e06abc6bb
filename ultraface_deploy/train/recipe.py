"""Recipes: everything that decides what a training run gives, in one file."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from ultraface_deploy.errors import InputError
from ultraface_deploy.family.spec import Architecture, Color, ModelSpec, parse_input_size
from ultraface_deploy.safe.files import PARSE_ERRORS, read_text, require_file
from ultraface_deploy.safe.limits import Limit
from ultraface_deploy.safe.records import Amount, Natural, Positive, Strict, convert
from ultraface_deploy.train.augment import Augmentation

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDER = Path(__file__).parent / "recipes"


@dataclass(frozen=True)
class Weights(Strict):
    """What the loss of a stage is made of; a weight of 0 switches a part off.

    `labels`: multibox loss on the labels; `outputs`: the teacher's scores; `boxes`: its boxes;
    `features`: what its convolutions give (a teacher of the same architecture).
    """

    labels: Amount = 1.0
    outputs: Amount = 0.0
    boxes: Amount = 0.0
    features: Amount = 0.0


@dataclass(frozen=True)
class Stage(Strict):
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
    epochs: Positive
    batch_size: Positive = 16
    optimizer: Literal["sgd", "adamw"] = "sgd"
    lr: Amount = 0.01
    momentum: Amount = 0.9
    weight_decay: Amount = 5e-4
    schedule: Literal["cosine", "multistep"] = "cosine"
    milestones: tuple[Amount, ...] = (0.6, 0.85)
    warmup_steps: Natural = 200
    clip_norm: Amount = 10.0
    ema: Amount = 0.998
    freeze_bn: bool = False
    layerwise: bool = False
    teacher: str | None = None
    windows: Natural = 0
    input_size: str | None = None
    weights: Weights = field(default_factory=Weights)
    augment: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        needs_teacher = (
            self.layerwise or self.weights.outputs or self.weights.boxes or self.weights.features
        )
        if needs_teacher and not self.teacher:
            raise InputError(f"recipe, stage {self.name}: its loss needs a teacher; name one")
        if self.windows and (self.layerwise or self.weights.features):
            raise InputError(
                f"recipe, stage {self.name}: features are not remembered; set windows = 0"
            )


@dataclass(frozen=True)
class Recipe(Strict):
    """The network, the seed and the stages. `holdout` is the share of images kept for AP.

    `num_classes` counts the background; `color` is `gray` for a network with one channel.
    """

    architecture: Architecture
    width: Natural
    height: Natural
    stages: tuple[Stage, ...]
    seed: Natural = 1
    holdout: Amount = 0.04
    num_classes: Natural = 2
    color: Color = "rgb"

    @property
    def spec(self) -> ModelSpec:
        """What the trained network will be."""
        name = f"{self.architecture}-{self.width}"
        return ModelSpec(
            name,
            self.architecture,
            self.width,
            self.height,
            num_classes=self.num_classes,
            color=self.color,
        )


def load_recipe(path: Path) -> Recipe:
    """Read a recipe from a TOML file.

    Raises:
        InputError: missing, no TOML, or a key or value that no recipe has.
    """
    require_file(path, "recipe", Limit.TEXT)
    try:
        data = tomllib.loads(read_text(path))
        width, height = parse_input_size(data.pop("input_size", "320x240"))
        recipe = convert({**data, "width": width, "height": height}, Recipe)
    except (*PARSE_ERRORS, InputError) as error:
        raise InputError(f"{path}: not a recipe ({error}); see {FOLDER}") from error
    if recipe.architecture == "unknown" or not recipe.stages:
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
