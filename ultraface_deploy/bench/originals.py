"""What each configuration is compared with before it is timed: outputs, recorded in a child."""

# Tested by tests/bench/test_run.py.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ultraface_deploy.backends import get_backend
from ultraface_deploy.bench.plan import Configuration
from ultraface_deploy.errors import UltraFaceError
from ultraface_deploy.safe.child import run_in_child
from ultraface_deploy.safe.images import DEMO_PHOTO
from ultraface_deploy.safe.limits import Limit


@dataclass(frozen=True)
class Original:
    """What a configuration is compared with: `name` of the network, and the file of its outputs.

    Without a file there is nothing to compare with, and `name` says why.
    """

    name: str
    file: str | None


def record_references(
    configurations: Sequence[Configuration], image: str, scratch: Path
) -> dict[tuple[Path, tuple[str, ...]], Original]:
    """Record what each original gives on the shipped photographs and on another image.

    Args:
        configurations: what is to be timed.
        image: path of the image that it is timed on.
        scratch: folder for the recordings.

    Returns:
        By place and witnesses of a configuration what it is compared with.

    Raises:
        InputError: a folder holds no original network.
    """
    recorded: dict[tuple[Path, tuple[str, ...]], Original] = {}
    # The shipped photographs are compared on in any case.
    images = [] if image == str(DEMO_PHOTO) else [image]
    for c in configurations:
        if (c.place, c.witnesses) not in recorded:
            target = str(scratch / f"{len(recorded)}.npz")
            found = _itself(c, images, target) if c.file else _original(c, images, target)
            recorded[c.place, c.witnesses] = found
    return recorded


def _original(configuration: Configuration, images: list[str], target: str) -> Original:
    folder = str(configuration.folder.path.absolute())
    run_in_child(
        "ultraface_deploy.bench.reference:record",
        {"folder": folder, "images": images, "target": target},
        what="the original network",
        memory=Limit.MODEL.bytes,
    )
    return Original("the original network", target)


def _itself(configuration: Configuration, images: list[str], target: str) -> Original:
    """Run a single file on the first other runtime that can."""
    c = configuration
    if get_backend(c.backend).runs_original:
        return Original("it is the original, there is nothing to compare it with", None)
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
        return Original(f"itself on {witness}", target)
    return Original(f"no original is known, and no other runtime here runs {c.place.name}", None)
