"""A page as a browser lays it out."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest


def look_at(page: str, width: int, folder: Path) -> dict[str, Any]:
    """Lay the page out in a frame of that width and return what the browser says about it."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    probe = """<script>addEventListener("load", () => {
      const texts = [...document.querySelectorAll("p, td, th, dd, dt, small, li")];
      parent.postMessage(JSON.stringify({
        images: [...document.images].map(i => i.complete && i.naturalWidth > 100),
        page: document.documentElement.scrollWidth, window: innerWidth,
        rows: document.querySelectorAll("tbody tr").length,
        smallest_text_px: Math.min(...texts.map(t => parseFloat(getComputedStyle(t).fontSize))),
      }), "*");
    });</script>"""
    (folder / "page.html").write_text(page.replace("</body>", probe + "</body>"))
    # Headless Chromium has a smallest window width; a frame has not.
    (folder / "frame.html").write_text(
        f'<pre id="seen"></pre><iframe src="page.html" width="{width}" height="844" '
        'style="border: 0"></iframe><script>addEventListener("message", '
        'e => document.getElementById("seen").textContent = e.data)</script>'
    )
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000")
    profile = f"--user-data-dir={folder / 'profile'}"
    dom = subprocess.run(
        [chromium, *flags, profile, "--dump-dom", (folder / "frame.html").as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout
    found = re.search(r'<pre id="seen">(.*?)</pre>', dom)
    assert found, dom[:500]
    result: dict[str, Any] = json.loads(found[1])
    return result
