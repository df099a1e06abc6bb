"""Limits on the size of files from elsewhere, and the variables that raise them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.limits import Limit, require_short


@pytest.mark.parametrize("limit", list(Limit))
def test_what_is_just_as_large_passes(
    limit: Limit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(limit.value[0], "1")
    path = tmp_path / "file"
    path.write_bytes(bytes(1 << 20))
    limit.check(path)
    limit.check(path, 1 << 20)
    limit.check(tmp_path / "gone")
    with pytest.raises(InputError, match=f"set {limit.value[0]}"):
        limit.check(path, (1 << 20) + 1)
    path.write_bytes(bytes((1 << 20) + 1))
    with pytest.raises(InputError, match="1 MiB are more than the 1 allowed"):
        limit.check(path)


@pytest.mark.parametrize("text", ["", "much", "-1", "1.5", "1e3", "\u0663", "9" * 10])
def test_variable_that_is_not_a_number(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ULTRAFACE_DEPLOY_MAX_TEXT_MB", text)
    with pytest.raises(InputError, match="give a whole number of MiB"):
        Limit.TEXT.bytes  # noqa: B018 - a property that checks


def test_what_no_hand_has_written(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    require_short(path)
    path.write_bytes(bytes(256 << 10))
    require_short(path)
    path.write_bytes(bytes((256 << 10) + 1024))
    with pytest.raises(InputError, match="257 KiB are more than the 256"):
        require_short(path)
