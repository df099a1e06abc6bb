"""The copy of the package for other machines must run there: the same modules, from one folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from ultraface_deploy.bench.layout import installed_files


def test_a_copy_runs_by_itself(tmp_path: Path) -> None:
    for name, path in installed_files():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, tmp_path / name)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import ultraface_deploy.bench.on_board, ultraface_deploy.bench.count.guest\n"
        "from ultraface_deploy import backends, converters, models\n"
        "from ultraface_deploy.safe.images import DEMO_PHOTO\n"
        "assert models.registry() and DEMO_PHOTO.is_file()\n"
        "for module in (backends, converters, models): print(module.__file__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path += {sys.path!r}\n{code}", tmp_path],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert all(Path(line).is_relative_to(tmp_path) for line in done.stdout.splitlines())
