"""Who may see the live view, and what a browser may do with it."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Sequence
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ultraface_deploy.errors import InputError

COOKIE = "ultraface_token"
_SHORTEST_TOKEN = 16
_OPEN_PATHS = frozenset({"/v1/health", "/static/page.css", "/static/icon.svg"})
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "cross-origin-opener-policy": "same-origin",
    # Another site cannot show our picture in its page.
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def check_token(token: str) -> str:
    """Return a token that can be sent in a header and is not guessed in an afternoon.

    Raises:
        InputError: it is too short, or has other characters than letters, digits and `-._~`.
    """
    if len(token) < _SHORTEST_TOKEN:
        raise InputError(f"`token`: give at least {_SHORTEST_TOKEN} characters, or leave it out")
    if not all(c.isascii() and (c.isalnum() or c in "-._~") for c in token):
        raise InputError("`token`: use letters, digits and -._~ only")
    return token


def new_token() -> str:
    """Return a token that nobody guesses."""
    return secrets.token_urlsafe(24)


class Access:
    """Lets requests through that have the token, or without one, that name this machine.

    A page of another site can make a browser ask for `http://127.0.0.1`, also under a name of its
    own that leads there; the name in the request gives it away.
    """

    def __init__(self, app: ASGIApp, token: str | None, login: str) -> None:
        """Wrap an application.

        Args:
            app: what is behind the door.
            token: what must be known; None where only this machine gets here.
            login: the page that asks for it.
        """
        self._app, self._token, self._login = app, token, login

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
            await send(message)

        answer = self._answer(scope)
        await (self._app if answer is None else answer)(scope, receive, send_guarded)

    def _answer(self, scope: Scope) -> Response | None:
        """Return what is to be said instead of passing a request on."""
        headers = Headers(scope=scope)
        if self._token is None:
            if _names_this_machine(headers.get("host", "")):
                return None
            return _refusal(403, "without a token only localhost and 127.0.0.1 are answered")
        if scope["path"] in _OPEN_PATHS:
            return None
        if scope["path"] == "/" and (given := _in_query(scope)):
            return self._enter(given)
        if any(self._is_token(given) for given in _tokens(headers)):
            return None
        if "text/html" in headers.get("accept", ""):
            return Response(self._login, 401, media_type="text/html")
        return _refusal(401, "send the token as Authorization: Bearer TOKEN")

    def _enter(self, given: str) -> Response:
        """Keep a right token as a cookie, and take it out of the address."""
        if not self._is_token(given):
            wrong = self._login.replace(" hidden>", ">")
            return Response(wrong, 401, media_type="text/html")
        response = RedirectResponse("/", 303)
        response.set_cookie(COOKIE, given, httponly=True, samesite="strict")
        return response

    def _is_token(self, given: str) -> bool:
        assert self._token is not None
        return hmac.compare_digest(given.encode(), self._token.encode())


def _refusal(status: int, problem: str) -> JSONResponse:
    headers = {"www-authenticate": "Bearer"} if status == 401 else None
    return JSONResponse({"error": problem}, status, headers)


def _names_this_machine(host: str) -> bool:
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    return is_loopback(name.strip("[]").lower())


def _in_query(scope: Scope) -> str | None:
    values = parse_qs(scope["query_string"].decode("latin-1")).get("token")
    return values[0] if values else None


def _tokens(headers: Headers) -> Sequence[str]:
    """Return what a request offers as tokens."""
    kind, _, value = headers.get("authorization", "").partition(" ")
    offered = [value.strip()] if kind.lower() == "bearer" else []
    try:
        cookie = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return offered
    return [*offered, cookie[COOKIE].value] if COOKIE in cookie else offered
