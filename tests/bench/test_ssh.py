"""Boards as people name them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ultraface_deploy import InputError, MissingDependency
from ultraface_deploy.bench.ssh import destination, ssh_command


@pytest.mark.parametrize(
    ("host", "given_to_ssh"),
    [
        ("board", "board"),
        ("pi@board", "pi@board"),
        ("root@board:2222", "ssh://root@board:2222"),
        ("board:22", "ssh://board:22"),
        ("pi@[fe80::1]:2222", "ssh://pi@[fe80::1]:2222"),
        ("fe80::1", "fe80::1"),
        ("ssh://pi@board:2222", "ssh://pi@board:2222"),
    ],
)
def test_destinations(host: str, given_to_ssh: str) -> None:
    assert destination(host) == given_to_ssh


@pytest.mark.parametrize("host", ["", " ", "-oProxyCommand=evil", "board:0", "board:70000", "a\nb"])
def test_what_is_not_a_host_is_refused(host: str) -> None:
    with pytest.raises(InputError, match="`host`"):
        destination(host)


def test_an_identity_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ULTRAFACE_DEPLOY_SSH", "true -F config")
    key = tmp_path / "key"
    with pytest.raises(InputError, match="key"):
        ssh_command("board", key, ["ls"])
    key.write_text("key")
    command = ssh_command("board", key, ["ls"])
    assert command[:3] == ["true", "-F", "config"] and command[-3:] == ["--", "board", "ls"]
    assert command[command.index("-i") + 1] == str(key)


@pytest.mark.parametrize("program", ["", "no-such-ssh"])
def test_no_ssh(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ULTRAFACE_DEPLOY_SSH", program)
    with pytest.raises(MissingDependency, match="openssh-client"):
        ssh_command("board", None, [])
