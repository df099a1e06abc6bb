"""Tables of results for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.table import Table

from ultraface_deploy.accuracy.compare import Pairing
from ultraface_deploy.accuracy.result import Evaluation
from ultraface_deploy.safe.text import counted


def tables(evaluation: Evaluation) -> Iterator[Table]:
    """Yield AP, also by class, then where small faces are lost, then what the thresholds give."""
    yield _ap(evaluation)
    if any("classes" in result.details for result in evaluation.results):
        yield _classes(evaluation)
    yield _heights(evaluation)
    yield _points(evaluation)


def pairing_table(pairing: Pairing, confidence: float) -> Table:
    """Return AP before and after, with the interval of the change."""
    images = len(pairing.before.tally.names)
    table = _table(
        f"{pairing.before.label} -> {pairing.after.label}, {counted(images, 'image')}",
        ["set"],
        ["before", "after", "change", f"{confidence:.0%} interval"],
    )
    for each in pairing.changes:
        table.add_row(
            each.set,
            f"{each.before:.4f}",
            f"{each.after:.4f}",
            f"{each.change:+.4f}",
            f"{each.low:+.4f} to {each.high:+.4f}",
        )
    earlier, later = (
        {point["score"]: point for point in side.details["operating_points"]}
        for side in (pairing.before, pairing.after)
    )
    for score in (0.5, 0.7):
        if score in earlier and score in later:
            for key in ("recall", "precision"):
                before, after = earlier[score][key], later[score][key]
                table.add_row(f"{key} at {score:g}", _number(before), _number(after))
    return table


def _ap(evaluation: Evaluation) -> Table:
    sets = evaluation.results[0].tally.sets
    coco = "coco" in evaluation.results[0].details
    table = _table(
        f"AP, {evaluation.protocol['name']}",
        ["artifact", "backend", "precision", "input"],
        ["images", *sets, *(["COCO AP", "COCO AP50"] if coco else []), "as FP32"],
    )
    for result in evaluation.results:
        subject, size = result.subject, result.subject["input"]
        row = [
            subject["artifact"],
            subject["backend"] or "-",
            subject["precision"] or "-",
            "-" if size is None else f"{size['width']}x{size['height']}",
            str(len(result.tally.names)),
            *(f"{ap:.4f}" for ap in result.ap().values()),
        ]
        if coco:
            row += [_number(result.details["coco"][key]) for key in ("ap", "ap50")]
        same = result.details.get("agreement")
        table.add_row(*row, "-" if same is None else f"{same['f1']:.3f}")
    return table


def _classes(evaluation: Evaluation) -> Table:
    table = _table("AP by class", ["artifact", "backend", "class"], ["faces", "ap"])
    for result in evaluation.results:
        for each in result.details.get("classes", []):
            table.add_row(
                result.subject["artifact"],
                result.subject["backend"],
                each["name"] or str(each["label"]),
                str(each["faces"]),
                _number(each["ap"]),
            )
    return table


def _heights(evaluation: Evaluation) -> Table:
    ranges = evaluation.results[0].details["by_height"]
    spans = [
        f"{each['low']:g}-{each['high']:g}" if each["high"] else f"{each['low']:g}+"
        for each in ranges
    ]
    table = _table("recall at score 0.5 by face height in pixels", ["artifact", "backend"], spans)
    table.add_row("faces", "", *(str(each["faces"]) for each in ranges))
    for result in evaluation.results:
        table.add_row(
            result.subject["artifact"],
            result.subject["backend"] or "-",
            *(_number(each["recall"]["0.5"]) for each in result.details["by_height"]),
        )
    return table


def _points(evaluation: Evaluation) -> Table:
    table = _table(
        "at a score threshold",
        ["artifact", "backend"],
        ["score", "recall", "precision", "false/image", "calibration error"],
    )
    for result in evaluation.results:
        subject, details = result.subject, result.details
        points = [each for each in details["operating_points"] if each["score"] in (0.5, 0.7)]
        if details.get("operating_point"):
            points.append(details["operating_point"])
        for point in points:
            table.add_row(
                subject["artifact"],
                subject["backend"] or "-",
                f"{point['score']:.3f}",
                _number(point["recall"]),
                _number(point["precision"]),
                _number(point["false_positives_per_image"]),
                _number(details["expected_calibration_error"]),
            )
    return table


def _table(title: str, left: list[str], right: list[str]) -> Table:
    table = Table(title=title)
    for heading in left:
        table.add_column(heading)
    for heading in right:
        table.add_column(heading, justify="right")
    return table


def _number(value: Any) -> str:
    return "-" if value is None else f"{value:.4f}"
