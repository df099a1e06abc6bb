"""Hooks of the site: the package as it is laid out when installed, and pages outside docs/."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
_SIDE_BY_SIDE = ("backends", "benchmarks", "converters", "models")
_CARDS = sorted(f"models/{path.name}" for path in (ROOT / "models").glob("*.md"))
_PAGES = ("SECURITY.md", "CONTRIBUTING.md", *_CARDS)


def on_startup(command: str, dirty: bool) -> None:
    """Lay out the package for mkdocstrings, which reads it without importing it.

    So early because it passes over a folder that is not there when it is set up.
    """
    target = ROOT / "build/docs-source/ultraface_deploy"
    shutil.rmtree(target, ignore_errors=True)
    compiled = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "ultraface_deploy", target, ignore=compiled)
    for name in _SIDE_BY_SIDE:
        shutil.copytree(ROOT / name, target / name, ignore=compiled)


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that stand elsewhere in the repository."""
    for name in _PAGES:
        content = (ROOT / name).read_text(encoding="utf-8")
        content = content.replace("](docs/", "](").replace("](../docs/", "](../")
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Links out of docs/ lead to the added pages, or to a heading there."""
    for name in _PAGES:
        for end in ")#":
            markdown = markdown.replace(f"](../{name}{end}", f"]({name}{end}")
    return markdown
