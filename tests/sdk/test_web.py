"""The browser package: the same faces as Python, in Node.js and in a real browser."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.conftest import Cli
from tests.sdk.browser import ISOLATING, Browser, served
from ultraface_deploy import models
from ultraface_deploy.artifacts.convert import convert
from ultraface_deploy.artifacts.folder import ArtifactFolder, describe_files
from ultraface_deploy.artifacts.source import resolve_source
from ultraface_deploy.backends import get_backend
from ultraface_deploy.converters import get_format
from ultraface_deploy.converters.onnx.network import load_network
from ultraface_deploy.detect.detector import Detector
from ultraface_deploy.errors import InputError, MissingDependency, ToolFailed
from ultraface_deploy.pipeline import Faces, PostprocessOptions
from ultraface_deploy.pipeline.view import Rectangle, View
from ultraface_deploy.quantize.int8 import Int8, Int8Job
from ultraface_deploy.quantize.plan import Scheme, make_plan
from ultraface_deploy.quantize.quantizer import fitting_table
from ultraface_deploy.safe.images import DEMO_PHOTO, read_image
from ultraface_deploy.sdk import web

CLASS = "l'\u00e9t\u00e9 (\u9854/\U00020bb7) & 2"
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="needs node")


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> ArtifactFolder:
    """The shipped network as C in INT8, without the search for the best INT8."""
    if not get_backend("native").available():
        pytest.skip("needs a C compiler, which checks the C file")
    pytest.importorskip("onnxsim", reason="C is made from simplified ONNX")
    path = tmp_path_factory.mktemp("web") / "slim-320"
    source = resolve_source("slim-320", class_names=(CLASS,))
    folder = convert(source, ["onnxsim"], output=path)
    sim = folder.files(folder.find("onnxsim"))
    network, _ = load_network(sim[0])
    table = fitting_table(network, models.calibration_tables())
    assert table is not None
    c = get_format("c").way("int8")
    assert isinstance(c, Int8)
    job = Int8Job(folder.spec, network, {"onnxsim": sim})
    made = c.emit(make_plan(network, table, Scheme()), job, tmp_path_factory.mktemp("made"))
    record = describe_files("c", "int8", {file.name: file for file in made})
    copies = [Path(shutil.copy(file, path / f"made-{file.name}")) for file in made]
    return folder.publish(replace(record, verification={"passed": True}), copies, {})


@pytest.fixture(scope="session")
def site(artifacts: ArtifactFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("ziglang", reason="compiles C to WebAssembly")
    output = tmp_path_factory.mktemp("web") / "it's a $site"
    said = web.write_web(artifacts, output)
    assert shutil.which("node") is None or "Node.js found the same" in said
    return output


@pytest.fixture(scope="session")
def python(artifacts: ArtifactFolder) -> Detector:
    return Detector.open(artifacts.path, backend="native", precision="int8")


@pytest.fixture(scope="session")
def url(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(site) as (address, _):
        yield address


@pytest.fixture(scope="session")
def isolated(site: Path) -> Iterator[str]:
    """The same folder from a server that sends the headers for several threads."""
    with served(site, ISOLATING) as (address, _):
        yield address


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of a face that moves, as Chromium's fake camera reads it."""
    photo = cv2.resize(read_image(DEMO_PHOTO), (480, 480))
    file = tmp_path_factory.mktemp("clip") / "face.y4m"
    with file.open("wb") as stream:
        stream.write(b"YUV4MPEG2 W640 H480 F10:1 Ip A1:1 C420jpeg\n")
        for shift in range(0, 160, 20):
            frame = np.full((480, 640, 3), 90, np.uint8)
            frame[:, shift : shift + 480] = photo
            stream.write(b"FRAME\n" + cv2.cvtColor(frame, cv2.COLOR_BGR2YUV_I420).tobytes())
    return file


@pytest.fixture(scope="session")
def browser(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    flags = [
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={clip}",
    ]
    opened = Browser(tmp_path_factory.mktemp("profile"), flags)
    yield opened
    opened.close()


@pytest.fixture
def page(browser: Browser, url: str) -> Browser:
    return visited(browser, url)


def visited(browser: Browser, url: str) -> Browser:
    browser.resize(1200, 800)
    browser.events.clear()
    browser.open(url)
    browser.wait("document.getElementById('status').textContent === 'Ready'")
    return browser


def assert_same(found: Sequence[dict[str, Any]], wanted: Faces, scores: float = 1e-4) -> None:
    assert len(found) == len(wanted)
    np.testing.assert_allclose([one["score"] for one in found], wanted.scores, atol=scores)
    # INT8 scores are often equal, and then either may come first.
    left = [one["box"] for one in found]
    for box in wanted.boxes:
        nearest = min(range(len(left)), key=lambda place: np.abs(left[place] - box).max())
        np.testing.assert_allclose(left.pop(nearest), box, rtol=1e-4, atol=0.05)


@needs_node
@pytest.mark.parametrize("threads", [2, 3, 8])
def test_several_threads_compute_the_same_numbers(site: Path, threads: int) -> None:
    image = read_image(DEMO_PHOTO)
    rgba, (height, width) = cv2.cvtColor(image, cv2.COLOR_BGR2RGBA).tobytes(), image.shape[:2]
    alone = web.run_in_node(site, rgba, width, height)
    assert alone
    assert web.run_in_node(site, rgba, width, height, threads) == alone


@needs_node
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (320, 240), (319, 241), (640, 480), (3000, 7)])
def test_the_same_faces_at_any_size(site: Path, python: Detector, size: tuple[int, int]) -> None:
    image = cv2.resize(read_image(DEMO_PHOTO), size)
    rgba = cv2.cvtColor(image, cv2.COLOR_BGR2RGBA)
    assert_same(web.run_in_node(site, rgba.tobytes(), *size), python.detect(image))


@needs_node
@pytest.mark.parametrize(
    "size", [(1, 1), (320, 240), (640, 480), (1500, 300), (301, 999), (3, 900)]
)
def test_kept_proportions(site: Path, artifacts: ArtifactFolder, size: tuple[int, int]) -> None:
    view = View(keep_aspect=True)
    python = Detector.open(artifacts.path, backend="native", precision="int8", view=view)
    side = min(size)
    image = np.full((size[1], size[0], 3), 90, np.uint8)
    image[:side, -side:] = cv2.resize(read_image(DEMO_PHOTO), (side, side))
    rgba = cv2.cvtColor(image, cv2.COLOR_BGR2RGBA)
    found = web.run_in_node(site, rgba.tobytes(), *size, options={"keepAspect": True})
    assert_same(found, python.detect(image))
    assert len(found) == (side >= 240)


@needs_node
@pytest.mark.parametrize("candidates", [1, 2, 5, 200])
@pytest.mark.parametrize("roi", [None, (150, 30, 200, 200), (511, 511, 1, 1), (0, 0, 300, 512)])
def test_a_region_and_few_candidates(
    site: Path, artifacts: ArtifactFolder, roi: Rectangle | None, candidates: int
) -> None:
    # Among hundreds of weak boxes INT8 scores tie, and then either suppresses the other.
    threshold = 0.05 if candidates < 200 else 0.3
    asked = PostprocessOptions(score_threshold=threshold, candidates=candidates)
    python = Detector.open(*(artifacts.path, "native", "int8"), options=asked, view=View(roi=roi))
    image = read_image(DEMO_PHOTO)
    rgba, size = cv2.cvtColor(image, cv2.COLOR_BGR2RGBA).tobytes(), image.shape[1::-1]
    options: dict[str, object] = {"threshold": threshold, "candidates": candidates}
    options |= {} if roi is None else {"region": roi}
    found = web.run_in_node(site, rgba, *size, options=options)
    assert_same(found, python.detect(image))
    assert len(found) <= candidates
    assert found or roi == (511, 511, 1, 1)


REFUSED = {
    "{ candidates: 0 }": "candidates 0: give 1 to 200",
    "{ candidates: 201 }": "candidates 201: give 1 to 200",
    "{ region: [0, 0, 2] }": "region 0,0,2: give whole numbers [x, y, width, height]",
    "{ region: [0, 0.5, 2, 2] }": "region 0,0.5,2,2: give whole numbers [x, y, width, height]",
    "{ region: [0, 0, 2, 0] }": "region 0,0,2,0: give whole numbers [x, y, width, height]",
    "{ region: [1, 0, 2, 2] }": "region 1,0,2,2: reaches out of the picture of 2x2",
    "{ keepAspect: undefined }": "keepAspect undefined: give true or false",
    "{ keepAspect: 1 }": "keepAspect 1: give true or false",
    "{ keepAspect: true, candidates: 1, region: [1, 1, 1, 1] }": "ok",
    "{ keepAspect: false }": "ok",
}


@needs_node
def test_what_the_options_may_be(site: Path, tmp_path: Path) -> None:
    module = json.dumps((site / "detector.js").resolve().as_uri())
    (tmp_path / "asks.mjs").write_text(
        f"import {{ Detector }} from {module};\n"
        "const detector = await Detector.load();\n"
        "const picture = { data: new Uint8Array(16), width: 2, height: 2 };\n"
        f"for (const options of [{', '.join(REFUSED)}])\n"
        "  await detector.detect(picture, options)"
        ".then(() => console.log('ok'), (error) => console.log(error.message));\n"
    )
    done = subprocess.run(["node", "asks.mjs"], cwd=tmp_path, capture_output=True, check=True)
    assert done.stdout.decode().splitlines() == list(REFUSED.values())


def test_two_packages_are_the_same_bytes(
    site: Path, artifacts: ArtifactFolder, tmp_path: Path
) -> None:
    again = tmp_path / "again"
    web.write_web(artifacts, again)
    first, second = ({p.name: p.read_bytes() for p in each.iterdir()} for each in (site, again))
    assert first == second and web._WASM in first


def test_it_is_small_and_imports_nothing(site: Path) -> None:
    files = {path.name: path.stat().st_size for path in site.iterdir()}
    assert sum(files.values()) < 1_000_000, files
    described = json.loads((site / "package.json").read_text())
    assert described["name"] == "ultraface-slim-320"
    assert not re.search(r"@[A-Z]+@", "".join(p.read_text() for p in site.glob("*.*s*n")))
    assert re.findall(rb"\x03env\x06\w+", (site / "ultraface-threads.wasm").read_bytes()) == [
        b"\x03env\x06memory"
    ]
    # A section of imports has the number 2; there is none before the functions' (3).
    content = (site / "ultraface.wasm").read_bytes()
    assert content[:4] == b"\0asm"
    sections = list(_sections(content))
    assert 2 not in sections
    assert 3 in sections


def _sections(content: bytes) -> Iterator[int]:
    at = 8
    while at < len(content):
        kind, at, size, shift = content[at], at + 1, 0, 0
        while True:
            byte, at = content[at], at + 1
            size |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        yield kind
        at += size


@needs_node
def test_npm_packs_what_is_imported(site: Path, tmp_path: Path) -> None:
    if shutil.which("npm") is None:
        pytest.skip("needs npm")
    done = subprocess.run(
        ["npm", "pack", "--json", "--offline", "--pack-destination", tmp_path],
        **{"cwd": site, "capture_output": True, "text": True, "check": True},
    )
    (packed,) = json.loads(done.stdout)
    names = {file["path"] for file in packed["files"]}
    assert names == {
        *("README.md", "package.json", "detector.js", "detector.d.ts", "engine.js", "helper.js"),
        *("model.js", "threads.js", "worker.js", "ultraface.wasm", "ultraface-threads.wasm"),
    }
    modules = tmp_path / "node_modules" / "ultraface-slim-320"
    modules.mkdir(parents=True)
    shutil.unpack_archive(tmp_path / packed["filename"], tmp_path, "gztar", filter="data")
    shutil.copytree(tmp_path / "package", modules, dirs_exist_ok=True)
    program = tmp_path / "program.mjs"
    program.write_text(
        'import { Detector, model } from "ultraface-slim-320";\n'
        "const grey = { data: new Uint8Array(32 * 24 * 4).fill(99), width: 32, height: 24 };\n"
        "const detector = await Detector.load({ threads: 2 });\n"
        "const faces = await detector.detect(grey);\n"
        "detector.close();\n"
        "console.log(model.width, detector.threads, faces.length);\n"
        "for (const threads of [0, 1.5, '2'])\n"
        "  await Detector.load({ threads }).catch((error) => console.log(error.message));\n"
    )
    said = subprocess.run(
        ["node", program], capture_output=True, text=True, check=True, timeout=60
    ).stdout.splitlines()
    refused = [f"threads {each}: give a whole number from 1" for each in ("0", "1.5", "2")]
    assert said == ["320 2 0", *refused]


@needs_node
def test_one_thread_where_the_file_for_several_is_missing(site: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(site, tmp_path / "copy")
    (copy / "ultraface-threads.wasm").unlink()
    with pytest.raises(ToolFailed, match=r"Node\.js failed"):
        web.run_in_node(copy, bytes(4), 1, 1, 2)
    assert web.run_in_node(copy, bytes(4), 1, 1, 1) == []


def test_the_types_are_those_of_the_module(site: Path, tmp_path: Path) -> None:
    compiler = shutil.which("tsc")
    if compiler is None:
        pytest.skip("needs tsc: apt-get install node-typescript")
    good = (
        "import { Detector, Face, className, model } from "
        f"{json.dumps(str(site / 'detector'))};\n"
        "const detector: Detector = await Detector.load({ threads: 2, threadsUrl: 'x.wasm' });\n"
        "const count: number = detector.threads + model.width;\n"
        "const faces: Face[] = await detector.detect({ data: new Uint8Array(4), width: 1, "
        "height: 1 });\n"
        "detector.close();\n"
        "const name: string = className(faces[0].label) ?? model.classNames[0];\n"
        "export { count, faces, name };\n"
    )
    bad = {
        "Detector.load({ threads: 'all' });": "number",
        "detector.threads = 3;": "read-only",
        "new Detector();": "private",
        "model.classNames.push('x');": "push",
    }
    (tmp_path / "good.ts").write_text(good)
    for number, line in enumerate(bad):
        (tmp_path / f"bad{number}.ts").write_text(f"{good}{line}\n")
    options = [*("--strict", "--noEmit", "--target", "es2022", "--module", "es2022")]
    options += ["--pretty", "false"]
    programs = sorted(path.name for path in tmp_path.glob("*.ts"))
    done = subprocess.run(
        [compiler, *options, *programs], cwd=tmp_path, capture_output=True, text=True
    )
    # One line for each program that is wrong, in its last line, and none for what is right.
    told = [line for line in done.stdout.splitlines() if "error TS" in line]
    assert len(told) == len(bad), done.stdout
    last = good.count("\n") + 1
    for number, (line, said) in enumerate(bad.items()):
        assert told[number].startswith(f"bad{number}.ts({last},"), done.stdout
        assert said in done.stdout.split(f"bad{number}.ts(")[1], line


@needs_node
def test_classes_are_called_what_the_network_says(site: Path, tmp_path: Path) -> None:
    (tmp_path / "names.mjs").write_text(
        f"import {{ className }} from {json.dumps((site / 'detector.js').resolve().as_uri())};\n"
        "console.log(JSON.stringify([-1, 0, 0.5, 1, 2].map(className)));\n"
    )
    done = subprocess.run(["node", "names.mjs"], cwd=tmp_path, capture_output=True, check=True)
    assert json.loads(done.stdout) == [None, None, None, CLASS, None]


# ---- In the browser ----

IN_PAGE = """
const {{ Detector }} = await import('./detector.js');
const detector = await Detector.load({{ worker: {worker} }});
const blob = await (await fetch('{name}')).blob();
const picture = await createImageBitmap(blob, {{ colorSpaceConversion: 'none' }});
const faces = await detector.detect(picture);
detector.close();
return faces;
"""


@pytest.mark.parametrize("worker", ["true", "false"])
def test_the_same_faces_in_the_browser(
    page: Browser, site: Path, python: Detector, worker: str
) -> None:
    """From a file without loss, which every decoder reads alike."""
    image = read_image(DEMO_PHOTO)
    cv2.imwrite(str(site / "photo.png"), image)
    found = page.run(IN_PAGE.format(worker=worker, name="photo.png"))
    assert_same(found, python.detect(image))


SHARING = """
const {{ Detector }} = await import('./detector.js');
const detector = await Detector.load({{ threads: {threads}, worker: {worker} }});
const blob = await (await fetch('photo.png', {{ cache: 'reload' }})).blob();
const picture = await createImageBitmap(blob, {{ colorSpaceConversion: 'none' }});
const faces = [];
for (let i = 0; i < 5; i++) faces.push(await detector.detect(picture));
detector.close();
return {{ faces, threads: detector.threads, isolated: crossOriginIsolated }};
"""


def test_threads_of_a_page_share_a_picture(
    browser: Browser, isolated: str, site: Path, python: Detector, photos: list[Path]
) -> None:
    page = visited(browser, isolated)
    for photo in photos[:6]:
        image = read_image(photo)
        cv2.imwrite(str(site / "photo.png"), image)
        one, two = (page.run(SHARING.format(threads=n, worker="true")) for n in (1, 2))
        assert (one["isolated"], one["threads"], two["threads"]) == (True, 1, 2)
        assert all(faces == one["faces"][0] for faces in one["faces"] + two["faces"])
        assert_same(two["faces"][0], python.detect(image))


def test_the_page_says_how_many_threads_it_has(
    browser: Browser, isolated: str, url: str, site: Path
) -> None:
    said = "return document.getElementById('threads').textContent"
    cores = min(os.cpu_count() or 1, 4)
    expected = f"{cores} threads look at a picture together." if cores > 1 else "One thread: "
    assert visited(browser, isolated).run(said).startswith(expected)
    page = visited(browser, url)
    alone = "One thread: with two headers" if cores > 1 else "One thread: "
    assert page.run(said).startswith(alone)
    cv2.imwrite(str(site / "photo.png"), read_image(DEMO_PHOTO))
    asked = page.run(SHARING.format(threads=2, worker="true"))
    assert (asked["isolated"], asked["threads"]) == (False, 1)
    assert len(asked["faces"][0]) == 1


def test_a_thread_of_the_page_waits_for_nobody(browser: Browser, isolated: str, site: Path) -> None:
    cv2.imwrite(str(site / "photo.png"), read_image(DEMO_PHOTO))
    asked = visited(browser, isolated).run(SHARING.format(threads=2, worker="false"))
    assert (asked["isolated"], asked["threads"]) == (True, 1)
    assert len(asked["faces"][0]) == 1


def test_photographs_as_the_browser_decodes_them(
    page: Browser, site: Path, python: Detector, photos: list[Path]
) -> None:
    """Its JPEG decoder may round a colour otherwise than OpenCV's; no face may come or go."""
    count = 0
    for photo in photos:
        shutil.copy(photo, site / "photo.jpg")
        found = page.run(IN_PAGE.format(worker="true", name=f"photo.jpg?{photo.stem}"))
        wanted = python.detect(read_image(photo))
        assert_same(found, wanted)
        count += len(found)
    assert count > 500


def test_a_picture_is_chosen_and_the_sliders_move(page: Browser, tmp_path: Path) -> None:
    photo = Path(shutil.copy(DEMO_PHOTO, tmp_path / "it's a <photo>.jpg"))
    page.choose("#file", photo)
    page.wait("document.getElementById('status').textContent.includes('found in')")
    assert page.run("return document.getElementById('count').textContent") == "1"
    assert page.run("return document.querySelectorAll('#rows tr').length") == 1
    assert page.run("return document.querySelector('#rows tr').lastChild.textContent") == CLASS
    assert not page.run("return document.getElementById('class').hidden")
    assert "1 face" in page.run("return document.getElementById('canvas').ariaLabel")
    assert not page.run("return document.getElementById('save').disabled")
    page.run("document.getElementById('threshold').focus()")
    page.press("End")
    assert page.run("return document.getElementById('threshold-value').value") == "0.99"
    page.run(
        "const t = document.getElementById('threshold'); t.value = 0.05;"
        "t.dispatchEvent(new Event('input'))"
    )
    page.wait("Number(document.getElementById('count').textContent) >= 1")


def test_the_page_keeps_proportions(page: Browser, python: Detector, tmp_path: Path) -> None:
    """A picture so wide that its face is found only where it is not squeezed."""
    wide = cv2.copyMakeBorder(read_image(DEMO_PHOTO), 0, 0, 0, 2500, cv2.BORDER_REPLICATE)
    assert len(python.detect(wide)) == 0
    cv2.imwrite(str(tmp_path / "wide.png"), wide)
    page.choose("#file", tmp_path / "wide.png")
    page.wait("document.getElementById('count').textContent === '0'")
    page.run("document.getElementById('aspect').click()")
    page.wait("document.getElementById('count').textContent === '1'")


def test_what_is_no_picture_is_said(page: Browser, tmp_path: Path) -> None:
    (tmp_path / "a 'b' <i>.jpg").write_text("no picture")
    page.choose("#file", tmp_path / "a 'b' <i>.jpg")
    page.wait("document.getElementById('status').classList.contains('problem')")
    said = page.run("return document.getElementById('status').textContent")
    assert said == "a 'b' <i>.jpg is no picture that this browser can read"


@pytest.mark.parametrize("server", ["url", "isolated"])
def test_the_camera_finds_the_face_that_moves(
    browser: Browser, server: str, request: pytest.FixtureRequest
) -> None:
    page = visited(browser, request.getfixturevalue(server))
    page.run("document.getElementById('camera').click()")
    page.wait("document.getElementById('count').textContent === '1'")
    page.wait("Number(document.getElementById('rate').textContent) > 0")
    assert page.run("return document.getElementById('camera').ariaPressed") == "true"
    places = set()
    for _ in range(40):
        cell = "return document.querySelector('#rows td:nth-child(2)')?.textContent"
        places.add(page.run(cell))
        if len(places) > 2:
            break
        page.run("await new Promise((go) => setTimeout(go, 100))")
    assert len(places) > 2, "the face did not move"
    page.run("document.getElementById('camera').click()")
    assert page.run("return document.getElementById('camera').ariaPressed") == "false"
    assert page.run("return document.getElementById('video').srcObject") is None


@pytest.mark.parametrize("width", [360, 1200])
def test_the_page_fits(page: Browser, width: int) -> None:
    page.resize(width, 800)
    page.choose("#file", DEMO_PHOTO)
    page.wait("document.getElementById('status').textContent.includes('found in')")
    seen = page.run(
        "const box = (s) => document.querySelector(s).getBoundingClientRect();"
        "return {wide: document.documentElement.scrollWidth, stage: box('.stage').toJSON(),"
        "panel: box('.panel').toJSON(), canvas: box('#canvas').toJSON(),"
        "small: [...document.querySelectorAll('button:not([hidden]), .button')]"
        ".map((b) => b.getBoundingClientRect().height)}"
    )
    assert seen["wide"] <= width
    assert seen["canvas"]["right"] <= width
    assert min(seen["small"]) >= 44, "too small for a finger"
    below = seen["panel"]["top"] >= seen["stage"]["bottom"]
    assert below if width == 360 else seen["panel"]["left"] >= seen["stage"]["right"]


def test_keyboard_and_screen_reader(page: Browser) -> None:
    reached = page.tabbed(8)
    assert reached[:6] == ["file", "camera", "threshold", "overlap", "aspect", "SUMMARY"]
    named = page.read_aloud()
    assert {
        ("slider", "Score above which a box is a face"),
        ("slider", "Overlap above which two boxes are one face"),
        ("button", "Camera"),
        ("checkbox", "Keep the proportions of a wide or tall picture"),
        ("region", "Controls"),
    } <= named
    roles = ("button", "slider", "checkbox", "image", "canvas", "textbox")
    assert not [role for role, name in named if role in roles and not name]
    live = page.run("return document.getElementById('status').ariaLive")
    assert live == "polite"


@pytest.mark.parametrize("server", ["url", "isolated"])
def test_nothing_is_asked_of_anywhere_else(
    browser: Browser, server: str, request: pytest.FixtureRequest
) -> None:
    url: str = request.getfixturevalue(server)
    page = visited(browser, url)
    page.choose("#file", DEMO_PHOTO)
    page.wait("document.getElementById('status').textContent.includes('found in')")
    asked = [
        event["params"]["request"]["url"]
        for event in page.events
        if event.get("method") == "Network.requestWillBeSent"
    ]
    assert asked
    assert all(address.startswith((url, "blob:", "data:")) for address in asked), asked
    refused = page.run(
        "const seen = new Promise((go) => addEventListener('securitypolicyviolation',"
        " (event) => go(event.effectiveDirective)));"
        "try { await fetch('https://example.org/'); return 'it went out'; } catch {}"
        "return seen"
    )
    assert refused == "connect-src"


@pytest.mark.parametrize("headers", [{}, ISOLATING])
def test_it_works_without_a_network(
    site: Path, browser: Browser, headers: Mapping[str, str]
) -> None:
    with served(site, headers) as (address, _):
        browser.open(address)
        browser.run("await navigator.serviceWorker.ready")
        browser.wait("(await caches.keys()).length > 0")
    browser.open(address)
    browser.wait("document.getElementById('status').textContent === 'Ready'")
    browser.choose("#file", DEMO_PHOTO)
    browser.wait("document.getElementById('count').textContent === '1'")
    assert browser.run("return crossOriginIsolated") == bool(headers)


# ---- What is refused ----


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (
            ("--runtime", "web", "--precision", "fp16"),
            "--precision fp16: for the browser",
        ),
        (("--runtime", "web", "--embed-model"), "--embed-model: --runtime web always"),
        (("--runtime", "web", "--fetch-runtime"), "--fetch-runtime: "),
        (("--runtime", "wasm"), "--runtime wasm: unknown; choose from ncnn, mnn, c, web"),
    ],
)
def test_what_it_does_not_do(
    arguments: tuple[str, ...], problem: str, tmp_path: Path, cli: Cli
) -> None:
    done = cli("package", "-o", tmp_path / "out", *arguments)
    assert done.code == 2
    assert done.error.startswith(problem)
    assert list(tmp_path.iterdir()) == []


def test_without_a_compiler(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "find_spec", lambda name: None)
    done = cli("package", "--runtime", "web", "-o", tmp_path / "out")
    assert done.code == 3
    assert "pip install 'ultraface-deploy[web]'" in done.error
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_stays(artifacts: ArtifactFolder, tmp_path: Path) -> None:
    pytest.importorskip("ziglang", reason="compiles C to WebAssembly")
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(InputError, match="is there already"):
        web.write_web(artifacts, tmp_path)
    assert (tmp_path / "mine").read_text() == "mine"


def test_a_changed_c_file_is_not_compiled(artifacts: ArtifactFolder, tmp_path: Path) -> None:
    pytest.importorskip("ziglang", reason="compiles C to WebAssembly")
    copy = ArtifactFolder.open(shutil.copytree(artifacts.path, tmp_path / "copy"))
    file = copy.files(copy.find("c", "int8"))[0]
    file.write_text(file.read_text() + '\n#include "/etc/passwd"\n')
    with pytest.raises(InputError, match="SHA-256 differs"):
        web.write_web(copy, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_missing_dependency_names_the_extra() -> None:
    with pytest.raises(MissingDependency) as caught:
        raise MissingDependency.package("ziglang", "web", "--runtime web")
    assert caught.value.exit_code == 3
