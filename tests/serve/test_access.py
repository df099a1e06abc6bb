"""Who gets in, and what a browser is told."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.serve.conftest import Server, running
from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.images import DEMO_PHOTO
from ultraface_deploy.serve.access import check_token, is_loopback, new_token

TOKEN = "it-is-a-secret_0123"


@pytest.fixture(scope="module")
def guarded() -> Iterator[Server]:
    with running(token=TOKEN) as started:
        yield started


@pytest.fixture(scope="module")
def local() -> Iterator[Server]:
    with running() as started:
        yield started


PATHS = ("/", "/api", "/metrics", "/v1/status", "/v1/openapi.json", "/static/live.js", "/none")


@pytest.mark.parametrize("path", PATHS)
def test_nothing_without_the_token(guarded: Server, path: str) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}):
        answer = guarded.ask(path, headers=headers)
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert "Bearer TOKEN" in json.loads(answer.read())["error"]
    assert guarded.ask(path, headers={"Authorization": f"Bearer {TOKEN}"}).status != 401


@pytest.mark.parametrize("host", ["127.0.0.1", "LocalHost"])
def test_a_whole_url_is_taken_for_its_path(local: Server, host: str) -> None:
    """RFC 9112, 3.2.2: a server must accept it, and the URL's host counts, not the header's."""
    url, other = f"HTTP://{host}:{local.port}", {"Host": "example.org"}
    assert local.json(f"{url}/v1/health", headers=other) == {"status": "ok"}
    found = local.json(f"{url}/v1/detect?threshold=1", method="POST", body=DEMO_PHOTO.read_bytes())
    assert found["faces"] == [] and found["width"] == 512
    assert local.ask(url).read() == local.ask("/").read()
    for path, mine in (("http://example.org/v1/health", {}), ("/v1/health", other)):
        assert local.ask(path, headers=mine).status == 403


def test_a_whole_url_needs_the_token_all_the_same(guarded: Server) -> None:
    url = f"http://127.0.0.1:{guarded.port}"
    assert guarded.ask(f"{url}/v1/status").status == 401
    allowed = {"Authorization": f"Bearer {TOKEN}"}
    assert guarded.ask(f"{url}/v1/status", headers=allowed).status == 200
    assert guarded.ask(f"{url}/?token={TOKEN}").status == 303


def test_a_picture_without_the_token_is_not_even_read(guarded: Server) -> None:
    assert guarded.ask("/v1/detect", "POST", b"x").status == 401


def test_the_way_in_for_a_browser(guarded: Server) -> None:
    page = {"Accept": "text/html,*/*"}
    asked = guarded.ask("/", headers=page)
    assert asked.status == 401
    said = asked.read()
    assert b'name="token"' in said
    assert b'role="alert" hidden>' in said
    wrong = guarded.ask("/?token=wrong", headers=page)
    assert wrong.status == 401
    assert b'role="alert">That is not' in wrong.read()
    entered = guarded.ask(f"/?token={TOKEN}", headers=page)
    assert entered.status == 303
    assert entered.headers["Location"] == "/"
    cookie = entered.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    kept = cookie.partition(";")[0]
    assert guarded.ask("/", headers={"Cookie": kept}).status == 200
    assert guarded.ask("/", headers={"Cookie": f"a=b; {kept}"}).status == 200
    assert guarded.ask("/", headers={"Cookie": "ultraface_token=wrong"}).status == 401
    assert guarded.ask("/", headers={"Cookie": '=;"\\; ultraface_token'}).status == 401


def test_a_token_in_the_address_opens_the_page_alone(guarded: Server) -> None:
    """Addresses end up in logs and histories."""
    assert guarded.ask(f"/v1/status?token={TOKEN}").status == 401


def test_what_needs_no_token(guarded: Server) -> None:
    assert guarded.json("/v1/health") == {"status": "ok"}
    assert guarded.ask("/static/page.css").status == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8000", 200),
        ("127.0.0.1", 200),
        ("[::1]:8000", 200),
        ("LOCALHOST", 200),
        ("evil.example", 403),
        ("localhost.evil.example:8000", 403),
        ("127.0.0.1.evil.example", 403),
        ("10.0.0.7:8000", 403),
        ("", 403),
    ],
)
def test_another_name_for_this_machine(local: Server, host: str, status: int) -> None:
    """A page elsewhere may let its own name lead to 127.0.0.1; the browser sends that name."""
    assert local.ask("/v1/status", headers={"Host": host}).status == status


@pytest.mark.parametrize("path", ["/", "/api", "/v1/status", "/static/live.js", "/none"])
def test_what_a_browser_is_told(local: Server, path: str) -> None:
    headers = local.ask(path).headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert "Server" not in headers
    assert "Access-Control-Allow-Origin" not in headers


def test_tokens() -> None:
    assert check_token(new_token())
    assert new_token() != new_token()
    for wrong in ("short", "x" * 15, "a b" * 10, "ü" * 20, "x" * 20 + "\n", ""):
        with pytest.raises(InputError, match="`token`"):
            check_token(wrong)


def test_loopback() -> None:
    assert all(is_loopback(each) for each in ("127.0.0.1", "127.1.2.3", "::1", "localhost"))
    assert not any(is_loopback(each) for each in ("0.0.0.0", "::", "10.0.0.1", "example.org", ""))
