"""The first ten minutes of three users, in fresh environments: python tests/newcomer/play.py maker.

A maker installs the base on a board, an engineer adds MNN and ncnn, a researcher takes all. Each
types what README says, and what they would see is checked. `make newcomer` plays all three.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PHOTO = ROOT / "ultraface_deploy" / "photos" / "astronaut.jpg"


class User:
    """A fresh environment with one extra, and an empty folder to type commands in."""

    def __init__(self, home: Path, extra: str) -> None:
        self.home, self.work = home, home / "work"
        self.work.mkdir(exist_ok=True)
        venv.create(home / "venv", with_pip=True)
        self.bin = home / "venv" / "bin"
        self.installs(f"{ROOT}[{extra}]" if extra else str(ROOT))

    def installs(self, *wanted: object) -> None:
        """Install into the environment; nothing is built in the checkout."""
        command = [self.bin / "python", "-m", "pip", "install", "-q", *map(str, wanted)]
        subprocess.run(command, check=True)

    def types(self, command: str, code: int = 0, says: tuple[str, ...] = ()) -> str:
        """Run a command; its exit code and the words in what it prints must be these."""
        program, *arguments = command.split()
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        done = subprocess.run(
            [self.bin / program, *arguments],
            cwd=self.work,
            env=environment,
            capture_output=True,
            text=True,
        )
        seen = done.stdout + done.stderr
        print(f"$ {command}\n{seen}", flush=True)
        assert done.returncode == code, f"exit code {done.returncode}, expected {code}"
        assert "Traceback" not in seen
        for word in says:
            assert word in seen, f"{word!r} is not in what it prints"
        return done.stdout


def maker(user: User) -> None:
    """On a board with the base install: faces at once, and what more there is to have."""
    user.types("ultraface-deploy doctor", says=("ultraface-deploy[mnn]",))
    user.types(f"ultraface-deploy detect {PHOTO} -o marked.jpg", says=("1 face\n",))
    assert (user.work / "marked.jpg").stat().st_size > 10_000
    user.types("ultraface-deploy detect", says=("no SOURCE given", "1 face\n"))
    user.types("ultraface-deploy verify", says=("left out: ", "opencv"))
    user.types("ultraface-deploy bench --seconds 1 --json result.json", says=("onnxruntime",))
    user.types("ultraface-deploy bench recommend result.json", says=("ultraface-deploy detect",))
    user.types("ultraface-deploy bench recommend --max-cores 1", says=("ultraface-deploy detect",))
    user.types(
        "ultraface-deploy convert --to mnn", code=3, says=("pip install 'ultraface-deploy[mnn]'",)
    )
    user.types("ultraface-deploy detect gone.jpg", code=2, says=("gone.jpg: no such image",))


def engineer(user: User) -> None:
    """The three sentences of README, the same faces in Python, INT8 of a network of one's own."""
    user.types("ultraface-deploy convert --to mnn --int8", says=("mnn-int8",))
    user.types("ultraface-deploy bench --backend ncnn --threads 4 --seconds 1", says=("ncnn",))
    user.types("ultraface-deploy verify", says=("mnn", "ncnn"))
    found = user.types(f"ultraface-deploy detect {PHOTO} --json -")
    faces = len(json.loads(found)["results"][0]["faces"])
    script = user.work / "faces.py"
    script.write_text(
        "import sys, cv2\nfrom ultraface_deploy import Detector\n"
        "print(len(Detector.open().detect(cv2.imread(sys.argv[1]))))\n"
    )
    assert int(user.types(f"python faces.py {PHOTO}")) == faces
    small_board(user, found)
    user.types("ultraface-deploy convert --calibration nix", code=2, says=("--calibration nix",))
    user.types("ultraface-deploy package --runtime ncnn -o sdk", says=("README.md",))


def small_board(user: User, expected: str) -> None:
    """The small install of docs/board.md: below 150 MB with one runtime, and the same faces."""
    user.types("ultraface-deploy convert --to ncnn -o mine")
    venv.create(user.home / "board", with_pip=True)
    user.bin = user.home / "board" / "bin"
    user.installs("--no-deps", ROOT)
    user.installs("-r", ROOT / "board.txt", "ncnn")
    weights = json.loads(user.types("ultraface-deploy doctor --size --json -"))["sizes"]
    assert sum(row["bytes"] for row in weights) < 150e6
    found = user.types(f"ultraface-deploy detect {PHOTO} --model mine --json -")
    boxes = [json.loads(text)["results"][0]["faces"][0]["box"] for text in (found, expected)]
    assert all(abs(a - b) < 0.1 for a, b in zip(*boxes, strict=True))
    user.bin = user.home / "venv" / "bin"


def researcher(user: User) -> None:
    """A checkpoint into every format, and the refusals that used to come after half a minute."""
    user.types("ultraface-deploy convert slim-320 --to all -o out/mine", says=("ncnn", "caffe"))
    user.types("ultraface-deploy verify out/mine", says=("torch",))
    user.types("ultraface-deploy eval --data nix", code=2, says=("--data nix: no such folder",))
    user.types(
        "ultraface-deploy train --data . -o run --recipe bad.toml", code=2, says=("bad.toml",)
    )


USERS: dict[str, tuple[str, Callable[[User], None]]] = {
    "maker": ("", maker),
    "engineer": ("mnn,ncnn", engineer),
    "researcher": ("all", researcher),
}


def main(names: list[str]) -> None:
    """Play the named users, all where none is named."""
    for name in names or USERS:
        extra, play = USERS[name]
        with tempfile.TemporaryDirectory(prefix=f"newcomer-{name}-") as home:
            print(f"== {name}: pip install 'ultraface-deploy[{extra}]'", flush=True)
            play(User(Path(home), extra))
    print("newcomers found their way")


if __name__ == "__main__":
    main(sys.argv[1:])
