"""What a user knows of a network whose file does not state it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import cast, get_args

from ultraface_deploy.errors import InputError
from ultraface_deploy.family.spec import Color, ModelSpec


@dataclass(frozen=True)
class Known:
    """What the user knows of a file that does not state it; None for what its kind usually has.

    `ignore_outputs`: run a network whose further outputs nobody knows, without them.
    """

    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    color: Color | None = None
    ignore_outputs: bool = False

    @property
    def says_input(self) -> bool:
        """Whether it says anything about the input."""
        return any(value is not None for value in (self.mean, self.std, self.color))

    def refuse_for(self, model: object) -> None:
        """Refuse to know anything of a model that states itself what its network reads.

        Raises:
            InputError: says what to leave out.
        """
        if self != NOTHING:
            raise InputError(
                f"{model}: states itself what its network reads; leave out `mean`, `std`, `color` "
                "and `ignore_outputs`"
            )

    def of(self, spec: ModelSpec) -> ModelSpec:
        """Return the spec with what is known."""
        return replace(
            spec,
            mean=self.mean or spec.mean,
            std=self.std or spec.std,
            color=self.color or spec.color,
        )


NOTHING = Known()


def parse_known(
    mean: str | None, std: str | None, color: str | None, ignore_outputs: bool = False
) -> Known:
    """Read `--mean 104,117,123 --std 1 --color bgr`; one number stands for all channels.

    Raises:
        InputError: no numbers, or no such order of colours.
    """
    if color is not None and color not in get_args(Color):
        raise InputError(f"`color` {color}: choose from {', '.join(get_args(Color))}")
    divisors = _channels("std", std)
    if divisors is not None and not min(divisors) > 0:
        raise InputError(f"`std` {std}: pixels are divided by it; give a number above 0")
    known = Known(
        _channels("mean", mean),
        divisors,
        cast("Color | None", color),
        ignore_outputs,
    )
    known.of(ModelSpec("model", "unknown"))
    return known


def _channels(name: str, text: str | None) -> tuple[float, float, float] | None:
    if text is None:
        return None
    try:
        values = [float(word) for word in text.split(",")]
    except ValueError:
        values = []
    if len(values) not in (1, 3) or not all(math.isfinite(value) for value in values):
        raise InputError(f"`{name}` {text}: give one number or three, such as 104,117,123")
    first, second, third = values * (3 // len(values))
    return first, second, third
