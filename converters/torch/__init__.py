"""Checkpoints: where artifacts come from; `family.checkpoint` reads them."""

# Tested by tests/artifacts/test_source.py.

from __future__ import annotations

from ultraface_deploy.converters.base import Files, Format
from ultraface_deploy.family.spec import ModelSpec


def _stated_spec(files: Files) -> ModelSpec:
    from ultraface_deploy.family.checkpoint import load_checkpoint

    return load_checkpoint(files[0]).spec


FORMAT = Format(
    "torch", (".pth",), aliases=(".pt", ".ckpt", ".safetensors"), stated_spec=_stated_spec
)
