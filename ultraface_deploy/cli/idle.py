"""Options that would do nothing beside the others that were typed: refused, never passed over.

What `ultraface.toml` gives is meant for many commands and is not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ultraface_deploy.cli.paths import name_of
from ultraface_deploy.errors import InputError

Given = Mapping[str, Any]


@dataclass(frozen=True)
class Rule:
    """When some options of a command do something.

    Attributes:
        options: their parameters' names.
        used: whether they do, by all values of the command.
        said: what is said of one where it does not: what it is for, and what to do.
    """

    options: tuple[str, ...]
    used: Callable[[Given], bool]
    said: str


def _int8(given: Given) -> bool:
    return bool(given.get("int8")) or "int8" in (given["precision"] or ())


def _calibrates_on_photographs(given: Given) -> bool:
    return given["calibration"] is None or not Path(given["calibration"]).is_file()


def _runs_onnxruntime(given: Given) -> bool:
    backends = given["backend"] or "onnxruntime"
    names = [backends] if isinstance(backends, str) else backends
    return not {"onnxruntime", "all"}.isdisjoint(names)


def _streams(given: Given) -> bool:
    return any("://" in source for source in given["sources"] or ())


def _beside(*others: str) -> Callable[[Given], bool]:
    """Whether one of some other options is given."""
    return lambda given: any(given[other] for other in others)


_TABLE = Rule(
    ("images",),
    _calibrates_on_photographs,
    "is for a folder of photographs, not for a table; leave it out",
)
_DEVICE = Rule(
    ("device",),
    _runs_onnxruntime,
    "is for ONNX Runtime; give --backend onnxruntime, or leave it out",
)
_ENGINE = "is for --engine ray; give both or none"
_COUNTED = "is for a run on a CORE; name one, for example: bench count cortex-a72"
_QUANTISES = (
    *("calibration", "calibration_images", "validation", "ground_truth", "ranges", "keep"),
    *("keep_aspect", "search_seconds"),
)
_RUNS = (
    *("backend", "precision", "input_size", "mean", "std", "color", "ignore_outputs", "device"),
    *("threshold", "candidates", "top_k", "nms", "nms_iou", "keep_aspect", "scale", "jobs"),
    *("save", "engine"),
)

RULES: dict[str, tuple[Rule, ...]] = {
    "convert": (
        Rule(_QUANTISES, _int8, "is for INT8; give --int8 too, or leave it out"),
        Rule(
            ("calibration_images",),
            lambda given: given["validation"] or _calibrates_on_photographs(given),
            "is for folders of photographs, not for a table; leave it out, or give --validation",
        ),
        Rule(
            ("accelerator",),
            lambda given: "ethosu" in (given["to"] or ()),
            "is for --to ethosu; give both or none",
        ),
    ),
    "verify": (_DEVICE,),
    "detect": (
        _DEVICE,
        Rule(("overlap",), _beside("tiles"), "is for --tiles; give both or none"),
        Rule(("margin",), _beside("crop"), "is for --crop; give both or none"),
        Rule(
            ("no_labels",),
            lambda given: (
                (given["output"] or given["show"]) and not (given["blur"] or given["pixelate"])
            ),
            "is for pictures with marked faces; give --output, and neither --blur nor --pixelate",
        ),
        Rule(("shard_size",), _beside("engine"), _ENGINE),
        Rule(("reconnect",), _streams, "is for streams; leave it out"),
    ),
    "serve": (
        _DEVICE,
        Rule(("fps", "width"), _beside("source"), "is for what is watched; give --source too"),
    ),
    "package": (
        Rule(
            ("calibration",),
            lambda given: (given["precision"] or {"web": "int8"}.get(given["runtime"])) == "int8",
            "is for INT8; give --precision int8 too, or leave it out",
        ),
    ),
    "bench run": (
        _DEVICE,
        Rule(("identity", "bootstrap"), _beside("host"), "is for --host; give both or none"),
    ),
    "bench count": (
        Rule(
            ("backend", "precision", "input_size", "image", "layers", "json"),
            _beside("core"),
            _COUNTED,
        ),
        Rule(
            ("image",),
            lambda given: not given["layers"],
            "is compared on, and --layers compares nothing; leave it out",
        ),
    ),
    "bench recommend": (
        Rule(("eval_file",), _beside("min_ap"), "is for --min-ap; give both or none"),
    ),
    "eval run": (
        _DEVICE,
        Rule(
            ("class_names", "false_positives"),
            _beside("pictures", "labels"),
            "is for your own pictures; give --folder and --labels, or leave it out",
        ),
        Rule(
            ("data", "ground_truth"),
            lambda given: not (given["pictures"] or given["labels"]),
            "is for WIDER FACE, --folder and --labels are for your own pictures; give one or the "
            "other",
        ),
        Rule(
            _RUNS,
            lambda given: not given["predictions"],
            "is for running a network, and --predictions are scored as they are; leave it out",
        ),
    ),
    "quantize report": (_TABLE,),
}
"""By command."""


def check_first(command: Any, words: tuple[str, ...] = ()) -> None:
    """Let the commands of a command line look at their options before they begin.

    Args:
        command: what typer makes of the whole command line, or one command of it.
        words: the names that lead to it.
    """
    for name, child in getattr(command, "commands", {}).items():
        check_first(child, (*words, name))
    if rules := RULES.get(" ".join(words)):
        command.invoke = partial(_invoke, command.invoke, rules)


def _invoke(invoke: Callable[[Any], Any], rules: tuple[Rule, ...], context: Any) -> Any:
    """Run a command whose options all do something.

    Raises:
        InputError: one does not.
    """
    typed = {
        parameter.name: name_of(parameter)
        for parameter in context.command.params
        if context.get_parameter_source(parameter.name).name == "COMMANDLINE"
    }
    for rule in rules:
        for option in rule.options:
            if option in typed and not rule.used(context.params):
                raise InputError(f"{typed[option]}: {rule.said}")
    return invoke(context)
