"""Recipes: everything that decides what a training run gives, in one file."""

from __future__ import annotations

import ast
import sys
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from ultraface_deploy.errors import InputError
from ultraface_deploy.family.spec import Architecture, Color, ModelSpec, parse_input_size
from ultraface_deploy.safe.files import PARSE_ERRORS, read_text, require_file
from ultraface_deploy.safe.limits import require_short
from ultraface_deploy.safe.records import Amount, Natural, Positive, Strict, convert

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDER = Path(__file__).parent / "recipes"


@dataclass(frozen=True)
class Augmentation(Strict):
    """How samples are varied: the shares of the window kinds, and the rest of the chances.

    `whole`, `crop`, `aimed` and `expand` are relative shares: the image nearly whole; a part of
    it; a part that brings one face to a size between `face_sizes` pixels of the input; the image
    zoomed out by up to `max_expand`. `stretch` and `keep` are the shares of windows with the
    image's proportions (which the input then stretches) and with the input's (so that faces keep
    theirs); the rest lies anywhere between. Faces smaller than `min_face` pixels of the input are
    ignored: neither to be found nor background. `photometric` is the chance of each colour
    change, `noise` that of pixel noise, `nearest` that of sampling without interpolation, which
    looks like a large photograph shrunk carelessly.
    """

    whole: Amount = 0.25
    crop: Amount = 0.3
    aimed: Amount = 0.35
    expand: Amount = 0.1
    max_expand: Amount = 2.0
    stretch: Amount = 0.8
    keep: Amount = 0.1
    face_sizes: tuple[Amount, Amount] = (9.0, 150.0)
    min_face: Amount = 7.0
    mirror: Amount = 0.5
    photometric: Amount = 0.8
    noise: Amount = 0.0
    nearest: Amount = 0.0

    def __post_init__(self) -> None:
        if not (self.whole + self.crop + self.aimed + self.expand and all(self.face_sizes)):
            raise ValueError("augment needs a share above 0, and face_sizes")
        if self.stretch + self.keep > 1:
            raise ValueError("augment: stretch and keep are shares of 1")


@dataclass(frozen=True)
class Weights(Strict):
    """What the loss of a stage is made of; a weight of 0 switches a part off.

    `labels`: multibox loss on the labels; `outputs`: the teacher's scores; `boxes`: its boxes;
    `features`: what its convolutions give (a teacher of the same architecture); `overlap`: how
    little the boxes found overlap the labels'.
    """

    labels: Amount = 1.0
    outputs: Amount = 0.0
    boxes: Amount = 0.0
    features: Amount = 0.0
    overlap: Amount = 0.0

    def __post_init__(self) -> None:
        if not any(astuple(self)):
            raise ValueError("all are 0, and nothing would be learnt; give one a value")


@dataclass(frozen=True)
class Role(Strict):
    """A teacher in a stage: its name, how it looks, and its weight among the teachers.

    `name` is a registered checkpoint's, or a file's without suffix. A checkpoint sees the
    student's window with `scale` times the student's pixels in each direction. Another detector
    looks once at each picture, with its longest side at each of `sides` pixels.
    """

    name: str
    scale: Amount = 1.0
    weight: Amount = 1.0
    sides: tuple[Positive, ...] = ()

    def __post_init__(self) -> None:
        if not (self.scale and self.weight):
            raise ValueError(f"teacher {self.name}: scale and weight must be above 0")


@dataclass(frozen=True)
class Stage(Strict):
    """One stretch of training with its own objective, optimizer and schedule.

    `teachers` answer together. With `layerwise` each convolution learns alone to give what the
    only teacher's gives, from what the teacher's is given, instead of the whole network end to
    end. `input_sizes` are drawn for each batch; none stands for the network's own. AP is measured
    and the run saved every `validate_every` epochs. `freeze_bn` keeps the BatchNorm
    statistics, which a layer-wise stage measures first: small batches then add no noise. A stage
    without it first brings them to what the weights of now give (`settle`).
    `schedule` cosine falls to a hundredth; multistep falls tenfold at the `milestones` (fractions
    of the stage). `ema` is the decay of the averaged weights; 0 switches averaging off.
    With `quality` an anchor that answers for a face learns to score the chance that its box will
    count as found, the logistic function of (IoU - 0.5) / `quality`, instead of 1: so the best box
    of a face comes first, and a face that is there but ill placed stands behind. `start_share`
    brings the weights that a stage ends with so far back towards those that it began
    with (Wortsman et al. 2022): what it gained on one kind of faces mostly stays, and what it lost
    on another mostly comes back.
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
    start_share: Amount = 0.0
    quality: Amount = 0.0
    freeze_bn: bool = False
    layerwise: bool = False
    teachers: tuple[Role, ...] = ()
    input_sizes: tuple[str, ...] = ()
    validate_every: Positive = 1
    weights: Weights = field(default_factory=Weights)
    augment: Augmentation = field(default_factory=Augmentation)

    @property
    def reads_features(self) -> bool:
        """Whether it compares what layers give, for which a teacher must be of the same kind."""
        return self.layerwise or self.weights.features > 0

    def __post_init__(self) -> None:
        if (self.weights.outputs or self.weights.boxes) and not self.teachers:
            raise InputError(f"recipe, stage {self.name}: its loss needs a teacher; name one")
        if self.reads_features and [role.scale for role in self.teachers] != [1.0]:
            raise InputError(
                f"recipe, stage {self.name}: features are learnt from one teacher of scale 1; "
                "name one"
            )
        if self.quality and not self.weights.labels:
            raise InputError(
                f"recipe, stage {self.name}: quality says what labels teach; give them a weight"
            )
        if self.start_share >= 1:
            raise InputError(f"recipe, stage {self.name}: start_share must be a share below 1")
        for size in self.input_sizes:
            parse_input_size(size)


@dataclass(frozen=True)
class Recipe(Strict):
    """The network, the seed and the stages.

    `holdouts` are the shares of images kept for AP, one for each data set that is given; the last
    one serves all further sets. `num_classes` counts the background, `class_names` are those of
    the others; `color` is `gray` for a network with one channel. `scores_like` names a checkpoint:
    at the end the scores of the best network are mapped to mean what that one's mean, on the
    images kept for AP. `balance` says how often AP of easy, medium and hard counts where, before
    that, the scores of all kinds of anchors are brought into one order; empty for not at all.
    """

    architecture: Architecture
    width: Natural
    height: Natural
    stages: tuple[Stage, ...]
    seed: Natural = 1
    holdouts: tuple[Amount, ...] = (0.04,)
    num_classes: Natural = 2
    color: Color = "rgb"
    scores_like: str = ""
    class_names: tuple[str, ...] = ()
    balance: tuple[Amount, ...] = ()

    def __post_init__(self) -> None:
        if not self.holdouts or max(self.holdouts) >= 1:
            raise InputError("recipe: holdouts must be shares below 1, one at least")
        if len(self.balance) not in (0, 3):
            raise InputError("recipe: balance must be three weights: easy, medium, hard")

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
            class_names=self.class_names,
        )


def written_as(text: object, recipe: Recipe) -> bool:
    """Whether a run notes this recipe: as `repr` gives it, an earlier version's with fewer fields.

    What has been added since then is by default what it was before.
    """
    if text == repr(recipe):
        return True
    try:
        return convert(_fields(ast.parse(str(text), mode="eval").body), Recipe) == recipe
    except (*PARSE_ERRORS, SyntaxError, InputError):
        return False


def _fields(node: ast.expr) -> Any:
    """Return the dicts, lists and numbers of a dataclass's `repr`; nothing of it is executed."""
    if isinstance(node, ast.Call):
        return {str(each.arg): _fields(each.value) for each in node.keywords}
    if isinstance(node, ast.Tuple):
        return [_fields(each) for each in node.elts]
    return ast.literal_eval(node)


def load_recipe(path: Path) -> Recipe:
    """Read a recipe from a TOML file.

    Raises:
        InputError: missing, no TOML, or a key or value that no recipe has.
    """
    require_file(path, "recipe")
    require_short(path)
    try:
        data = tomllib.loads(read_text(path))
        width, height = parse_input_size(data.pop("input_size", "320x240"))
        recipe = convert({**data, "width": width, "height": height}, Recipe)
    except (*PARSE_ERRORS, InputError) as error:
        raise InputError(f"{path}: not a recipe ({error}); see {FOLDER}") from error
    if recipe.architecture == "unknown" or not recipe.stages:
        raise InputError(
            f"{path}: needs an architecture (slim or rfb) and [[stages]]; see {FOLDER}"
        )
    return recipe


def choose_recipe(
    architecture: str | None = None,
    recipe: str | Path | None = None,
    input_size: str | None = None,
    seed: int | None = None,
    **last: Any,
) -> Recipe:
    """Return the recipe of a file, or the one that a shipped checkpoint was trained with.

    Args:
        architecture: slim or rfb, in place of the recipe's; without one, whose recipe it is.
        recipe: a recipe file or the name of a shipped recipe.
        input_size: WIDTHxHEIGHT in place of the recipe's.
        seed: in place of the recipe's.
        last: fields of the last stage in place of the recipe's; None leaves one as it is.

    Raises:
        InputError: an unknown architecture or recipe.
    """
    if architecture not in (None, *get_args(Architecture)):
        raise InputError(f"`arch` {architecture}: unknown; choose slim or rfb")
    chosen = load_recipe(_recipe_file(recipe or f"{architecture or 'slim'}-320"))
    changes: dict[str, Any] = {"architecture": architecture, "seed": seed}
    if input_size is not None:
        changes["width"], changes["height"] = parse_input_size(input_size)
    *first, stage = chosen.stages
    given = {key: value for key, value in last.items() if value is not None}
    changes["stages"] = (*first, replace(stage, **given)) if given else None
    return replace(chosen, **{key: value for key, value in changes.items() if value is not None})


def shipped_recipes() -> dict[str, Path]:
    """Return the recipes that ship, by name."""
    return {file.stem: file for file in sorted(FOLDER.glob("*.toml"))}


def recipe_text(name: str) -> str:
    """Return a shipped recipe, or a file's, as it is written.

    Raises:
        InputError: there is no such recipe.
    """
    return read_text(_recipe_file(name))


def _recipe_file(recipe: str | Path) -> Path:
    path, shipped = Path(recipe), shipped_recipes()
    if path.suffix == ".toml" or path.exists():
        return path
    try:
        return shipped[str(recipe)]
    except KeyError:
        raise InputError(
            f"recipe {recipe}: no such recipe; there are {', '.join(sorted(shipped))}, "
            "or give a .toml file"
        ) from None
