"""The page in a real browser: boxes at the right places, keyboard, nothing from elsewhere."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.sdk.browser import Browser
from tests.serve.conftest import Server, running
from tests.serve.test_app import until
from ultraface_deploy.safe.images import DEMO_PHOTO

TOKEN = "a-token-of-24-characters"
Box = tuple[float, float, float, float]
SEES_FACES = "document.getElementById('canvas').dataset.known === 'true'"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    opened = Browser(tmp_path_factory.mktemp("profile"))
    opened.call("Log.enable")
    yield opened
    opened.close()


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Browser]:
    browser.resize(1200, 800)
    browser.events.clear()
    browser.open(f"http://127.0.0.1:{server.port}/")
    browser.wait(SEES_FACES)
    yield browser
    assert not problems(browser)
    asked = [
        event["params"]["request"]["url"]
        for event in browser.events
        if event.get("method") == "Network.requestWillBeSent"
    ]
    assert asked
    own = (f"http://127.0.0.1:{server.port}/", f"blob:http://127.0.0.1:{server.port}/")
    assert all(url.startswith(own) for url in asked), asked
    browser.open("about:blank")
    until(lambda: server.parts.live.watching.number == 0)


def problems(browser: Browser) -> list[Any]:
    """What the console shows: messages of the page, and the browser's own."""
    names = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
    return [event for event in browser.events if event.get("method") in names]


# The picture shown, its number, and where it is of the colour of boxes.
SHOWN = """
const canvas = document.getElementById('canvas');
const { width, height } = canvas;
const copy = Object.assign(document.createElement('canvas'), { width, height });
const context = copy.getContext('2d', { willReadFrequently: true });
context.drawImage(canvas, 0, 0);
const { data } = context.getImageData(0, 0, width, height);
const green = [];
for (let at = 0; at < data.length; at += 4) {
  if (data[at] === 0x19 && data[at + 1] === 0xe6 && data[at + 2] === 0x8c) {
    green.push([(at / 4) % width, Math.floor(at / 4 / width)]);
  }
}
return { number: Number(canvas.dataset.picture), green, width, height };
"""


@contextmanager
def listening(server: Server) -> Iterator[dict[int, list[Box]]]:
    """Gather the boxes that the events tell, by the number of the picture."""
    boxes: dict[int, list[Box]] = {}
    stop = threading.Event()

    def listen() -> None:
        answer = server.ask("/v1/events")
        while not stop.is_set():
            line = answer.readline().decode()
            if line.startswith("data: ") and "picture" in (told := json.loads(line[6:])):
                boxes[told["picture"]] = [face["box"] for face in told["faces"]]
        answer.close()

    listener = threading.Thread(target=listen)
    listener.start()
    try:
        yield boxes
    finally:
        stop.set()
        listener.join()


def test_boxes_are_where_the_json_says(page: Browser, server: Server) -> None:
    """The green pixels of a picture are the outlines of the faces of that number."""
    shown: dict[int, Any] = {}
    with listening(server) as boxes:
        until(lambda: len(boxes) > 2)
        end = time.monotonic() + 30
        while len(shown.keys() & boxes.keys()) < 5:
            assert time.monotonic() < end
            one = page.run(SHOWN)
            shown[one["number"]] = one
    for number in shown.keys() & boxes.keys():
        assert (shown[number]["width"], shown[number]["height"]) == (640, 480)
        assert boxes[number]
        assert_marked(shown[number]["green"], boxes[number])


def assert_marked(green: list[tuple[int, int]], boxes: list[Box]) -> None:
    for x, y in green:
        assert any(on_outline(x, y, box) for box in boxes), (x, y, boxes)
    for left, top, right, bottom in boxes:
        middles = [(left, (top + bottom) / 2), (right, (top + bottom) / 2)]
        middles += [((left + right) / 2, top), ((left + right) / 2, bottom)]
        for x, y in middles:
            assert any(abs(a - x) < 3 and abs(b - y) < 3 for a, b in green), (x, y)


def on_outline(x: float, y: float, box: Box) -> bool:
    left, top, right, bottom = box
    inside = left - 3 <= x <= right + 3 and top - 3 <= y <= bottom + 3
    return inside and min(abs(x - left), abs(x - right), abs(y - top), abs(y - bottom)) <= 3


def test_boxes_can_be_switched_off_and_the_threshold_moved(page: Browser) -> None:
    page.wait("Number(document.getElementById('faces').textContent) >= 1")
    page.run("document.getElementById('boxes').click()")
    assert page.run(SHOWN)["green"] == []
    page.run("document.getElementById('boxes').click()")
    page.wait(SEES_FACES)
    page.run("document.getElementById('threshold').focus()")
    page.press("End")
    assert page.run("return document.getElementById('threshold-value').value") == "0.99"
    before = page.run("return Number(document.getElementById('faces').textContent)")
    page.run(
        "const t = document.getElementById('threshold'); t.value = 0.3;"
        "t.dispatchEvent(new Event('input'))"
    )
    assert page.run("return Number(document.getElementById('faces').textContent)") >= before


def test_numbers_and_the_hour(page: Browser) -> None:
    page.wait("Number(document.getElementById('rate').textContent) > 0")
    page.wait("Number(document.getElementById('face-rate').textContent) > 0")
    assert "face.avi" in page.run("return document.getElementById('state').textContent")
    assert page.run("return document.getElementById('cpu').textContent").endswith(" %")
    page.wait("document.getElementById('viewers').textContent === '1'")
    page.wait("document.querySelectorAll('#stages tr').length === 6")
    names = page.run("return [...document.querySelectorAll('#stages th')].map(n => n.textContent)")
    assert names == ["read", "wait", "preprocess", "network", "postprocess", "encode"]
    page.wait("document.querySelectorAll('#plot path').length >= 2")
    assert "Most at once" in page.run("return document.getElementById('plot').ariaLabel")


def test_a_snapshot(page: Browser, tmp_path: Path) -> None:
    page.call(
        "Browser.setDownloadBehavior",
        behavior="allow",
        downloadPath=str(tmp_path),
    )
    page.run("document.getElementById('snapshot').click()")
    until(lambda: any(each.suffix == ".jpg" for each in tmp_path.iterdir()))
    import cv2

    image = cv2.imread(str(next(tmp_path.glob("faces-*.jpg"))))
    assert image.shape == (480, 640, 3)


@pytest.mark.parametrize("width", [360, 1200])
def test_the_page_fits(page: Browser, width: int) -> None:
    page.resize(width, 800)
    page.wait("document.querySelectorAll('#stages tr').length === 6")
    seen = page.run(
        "const box = (s) => document.querySelector(s).getBoundingClientRect();"
        "return {wide: document.documentElement.scrollWidth, stage: box('.stage').toJSON(),"
        "panel: box('.panel').toJSON(), hour: box('.hour').toJSON(),"
        "small: [...document.querySelectorAll('button, .switch, .slider input, header a')]"
        ".map((b) => b.getBoundingClientRect().height)}"
    )
    assert seen["wide"] <= width
    assert seen["stage"]["right"] <= width
    assert min(seen["small"]) >= 44, "too small for a finger"
    below = seen["panel"]["top"] >= seen["stage"]["bottom"]
    assert below if width == 360 else seen["panel"]["left"] >= seen["stage"]["right"]
    assert seen["hour"]["top"] >= seen["panel"]["bottom"]


def test_keyboard_and_screen_reader(page: Browser) -> None:
    reached = page.tabbed(5)
    assert reached[:4] == ["A", "boxes", "snapshot", "threshold"]
    named = page.read_aloud()
    assert {
        ("slider", "Score above which a box is shown"),
        ("button", "Snapshot"),
        ("checkbox", "Boxes"),
        ("region", "Controls and numbers"),
        ("region", "Faces in the last hour"),
    } <= named
    roles = ("button", "slider", "image", "canvas", "checkbox")
    assert not [role for role, name in named if role in roles and not name]


def test_a_page_that_nobody_looks_at_costs_nothing(page: Browser, server: Server) -> None:
    hide = "Object.defineProperty(document, 'hidden', {value: %s, configurable: true});"
    page.run(hide % "true" + "document.dispatchEvent(new Event('visibilitychange'))")
    until(lambda: server.parts.live.watching.number == 0)
    page.run(hide % "false")
    until(lambda: server.parts.live.watching.number == 1)


def test_nothing_can_be_asked_of_anywhere_else(page: Browser) -> None:
    refused = page.run(
        "const seen = new Promise((go) => addEventListener('securitypolicyviolation',"
        " (event) => go(event.effectiveDirective)));"
        "try { await fetch('https://example.org/'); return 'it went out'; } catch {}"
        "return seen"
    )
    assert refused == "connect-src"
    # The browser says so, and that alone.
    assert all("example.org" in json.dumps(event) for event in problems(page))
    page.events[:] = [event for event in page.events if "example.org" not in json.dumps(event)]


def test_a_picture_is_tried_out(page: Browser, server: Server, tmp_path: Path) -> None:
    page.open(f"http://127.0.0.1:{server.port}/api")
    page.wait("document.querySelectorAll('#calls article').length === 8")
    page.choose("#file", DEMO_PHOTO)
    page.wait("document.getElementById('said').textContent === '1 face found'")
    assert json.loads(page.run("return document.getElementById('answer').textContent"))["faces"]
    page.resize(360, 800)
    assert page.run("return document.documentElement.scrollWidth") <= 360


def test_what_is_no_picture_is_said(browser: Browser, server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("no picture")
    browser.open(f"http://127.0.0.1:{server.port}/api")
    browser.choose("#file", tmp_path / "a.jpg")
    browser.wait("document.getElementById('said').textContent.includes('not an image')")


def test_the_token_is_asked_for_and_remembered(browser: Browser) -> None:
    with running(token=TOKEN) as guarded:
        browser.resize(360, 800)
        browser.open(f"http://127.0.0.1:{guarded.port}/")
        browser.wait("document.querySelector('input[name=token]')")
        assert browser.run("return document.documentElement.scrollWidth") <= 360
        browser.run("document.querySelector('input').value = 'wrong'")
        browser.run("document.querySelector('button').click()")
        browser.wait("document.querySelector('[role=alert]:not([hidden])')")
        browser.run(f"document.querySelector('input').value = '{TOKEN}'")
        browser.run("document.querySelector('button').click()")
        browser.wait("document.querySelectorAll('#calls article').length > 0")
        assert browser.run("return location.href") == f"http://127.0.0.1:{guarded.port}/"


def test_the_server_goes_and_comes_back(browser: Browser, clip: Path) -> None:
    from ultraface_deploy.serve.source import open_live

    with running(open_live(str(clip)), "one") as first:
        port = first.port
        browser.open(f"http://127.0.0.1:{port}/")
        browser.wait(SEES_FACES)
    browser.wait("document.getElementById('state').classList.contains('problem')")
    with running(open_live(str(clip)), "two", port=port):
        browser.wait("document.getElementById('state').textContent === 'Watching two'")
        browser.run("document.getElementById('canvas').dataset.known = ''")
        browser.wait(SEES_FACES)
    browser.open("about:blank")
