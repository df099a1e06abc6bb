"""Headless Chromium, spoken to through its own pipe: no driver, no port, no package."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

_PATIENCE_S = 60
NO_HEADERS: Mapping[str, str] = {}
ISOLATING: Mapping[str, str] = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}


class Browser:
    """One tab of a headless Chromium."""

    def __init__(self, profile: Path, flags: Sequence[str] = ()) -> None:
        program = shutil.which("chromium") or shutil.which("google-chrome")
        if program is None:
            pytest.skip("needs Chromium: apt-get install chromium")
        to_browser, self._out = os.pipe()
        self._in, from_browser = os.pipe()
        command = [
            *(program, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update"),
            *("--remote-debugging-pipe", f"--user-data-dir={profile}", *flags, "about:blank"),
        ]
        # The pipe is on the descriptors 3 and 4; dash knows none above 9 to make them from.
        wrapped = ["bash", "-c", f'exec "$@" 3<&{to_browser} 4>&{from_browser}', "bash", *command]
        self._process = subprocess.Popen(
            wrapped,
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._number, self._kept, self.events = 0, b"", []  # type: ignore[var-annotated]
        self._session: str | None = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "DOM", "Accessibility"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the DevTools protocol and return its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._kept:
            chunk = os.read(self._in, 1 << 20)
            assert chunk, "Chromium ended"
            self._kept += chunk
        first, _, self._kept = self._kept.partition(b"\0")
        answer: dict[str, Any] = json.loads(first)
        return answer

    def run(self, script: str) -> Any:
        """Return what a script in the page returns; it may await."""
        answer = self.call(
            "Runtime.evaluate",
            expression=f"(async () => {{ {script} }})()",
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete'")

    def wait(self, condition: str) -> None:
        """Wait until something is true in the page."""
        end = time.monotonic() + _PATIENCE_S
        while time.monotonic() < end:
            try:
                if self.run(f"return Boolean({condition})"):
                    return
            except AssertionError as error:  # the page is being replaced
                if "context" not in str(error):
                    raise
            time.sleep(0.05)
        said = self.run("return document.body.innerText")
        raise AssertionError(f"never became true: {condition}; the page says: {said}")

    def choose(self, selector: str, file: Path) -> None:
        """Put a file into a file input, as a user's dialogue does."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(file)])

    def tabbed(self, count: int) -> list[str]:
        """Press Tab again and again; returns the id, or else the tag, of what it reached."""
        reached = []
        for _ in range(count):
            self.press("Tab")
            reached.append(
                self.run("return document.activeElement.id || document.activeElement.tagName")
            )
        return reached

    def read_aloud(self) -> set[tuple[str, str]]:
        """Return role and name of what a screen reader meets."""
        return {
            (node["role"]["value"], node.get("name", {}).get("value", ""))
            for node in self.call("Accessibility.getFullAXTree")["nodes"]
            if not node["ignored"]
        }

    def press(self, key: str) -> None:
        codes = {"Tab": 9, "ArrowLeft": 37, "ArrowRight": 39, "Enter": 13, " ": 32, "End": 35}
        for kind in ("keyDown", "keyUp"):
            text = {"text": "\r"} if key == "Enter" and kind == "keyDown" else {}
            self.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode=codes[key],
                **text,
            )

    def resize(self, width: int, height: int, dark: bool = False) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 500,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def screenshot(self, file: Path) -> None:
        import base64

        file.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def close(self) -> None:
        # Ended by a signal it leaves a folder behind.
        self.call("Browser.close")
        self._process.wait(20)
        os.close(self._out)
        os.close(self._in)


class _Handler(SimpleHTTPRequestHandler):
    """Static files, without headers of their own as the simplest server has them, or with some."""

    def __init__(self, *arguments: Any, headers: Mapping[str, str], **named: Any) -> None:
        self._headers = headers
        super().__init__(*arguments, **named)

    def end_headers(self) -> None:
        for name, value in self._headers.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *arguments: Any) -> None:
        pass


@contextmanager
def served(
    folder: Path, headers: Mapping[str, str] = NO_HEADERS
) -> Iterator[tuple[str, ThreadingHTTPServer]]:
    """Serve a folder on a port of this machine."""
    handler = partial(_Handler, directory=str(folder), headers=headers)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
