"""One self-contained page and what it is made of. Nothing is loaded from elsewhere."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Mapping, Sequence
from string import Template
from typing import Any

from ultraface_deploy.safe.text import printable

_PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 72rem; padding: 1rem;
       color: #1c1c1c; background: #fff; }
h1 { font-size: 1.5rem; line-height: 1.2; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin-top: 2rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; }
th, td { padding: .3rem .5rem; border-bottom: 1px solid #ddd; text-align: left;
         white-space: nowrap; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
td small { display: block; color: #666; }
.warnings { color: #8a3b00; font-size: .9rem; padding-left: 1.2rem; }
img { display: block; width: 100%; height: auto; max-width: 44rem; }
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr));
           gap: 1rem; }
figure { margin: 0; } figcaption { font-size: .9rem; color: #666; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; font-size: .9rem; }
dt { color: #666; } dd { margin: 0; overflow-wrap: anywhere; }
.failed { color: #a00; }
</style>
</head>
<body>
<h1>$title</h1>
$parts
</body>
</html>
""")


def page(title: str, *parts: str) -> str:
    """Return the page of a title (text) and its parts (HTML); empty parts are left out."""
    return _PAGE.substitute(title=escape(title), parts="\n".join(filter(None, parts)))


def escape(text: str) -> str:
    """Return text for HTML; a control character is none there."""
    return html.escape(printable(text))


def section(heading: str, *parts: str) -> str:
    """Return parts (HTML) under a heading (text)."""
    return "\n".join([f"<h2>{escape(heading)}</h2>", *filter(None, parts)])


def table(headings: Sequence[str], rows: Iterable[tuple[str, Sequence[str]]]) -> str:
    """Return a table that scrolls in its own box where it is wider than the page.

    Args:
        headings: text; the first is that of the rows' names, the others of numbers.
        rows: the name of each (HTML) and its cells (text).
    """
    first, *others = map(escape, headings)
    head = f"<th>{first}</th>" + "".join(f'<th class="n">{other}</th>' for other in others)
    body = "".join(
        f"<tr><td>{name}</td>"
        + "".join(f'<td class="n">{escape(cell)}</td>' for cell in cells)
        + "</tr>"
        for name, cells in rows
    )
    return (
        '<div class="scroll">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def picture(description: str, data: bytes, kind: str = "svg+xml") -> str:
    """Return a picture with everything in it, `kind` as in its media type `image/...`."""
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    return f'<img alt="{escape(description)}" src="{source}">'


def gallery(pictures: Iterable[tuple[str, bytes]]) -> str:
    """Return JPEGs side by side, each with its caption (text) below."""
    figures = "".join(
        f"<figure>{picture(caption, jpeg, 'jpeg')}"
        f"<figcaption>{escape(caption)}</figcaption></figure>"
        for caption, jpeg in pictures
    )
    return f'<div class="gallery">{figures}</div>' if figures else ""


def facts(values: Mapping[str, Any]) -> str:
    """Return names and values, those that say nothing left out."""
    shown = {key: value for key, value in values.items() if value not in (None, [], {}, (), "")}
    items = "".join(
        f"<dt>{escape(key.replace('_', ' '))}</dt><dd>{escape(_plain(value))}</dd>"
        for key, value in shown.items()
    )
    return f"<dl>{items}</dl>"


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(_plain(item) for item in value)
    return str(value)
