"""A request for a whole URL, as clients behind a proxy write it, is one for its path."""

# Tested by tests/serve/test_access.py.

from __future__ import annotations

import re
from urllib.parse import unquote

from starlette.types import ASGIApp, Receive, Scope, Send

_URL = re.compile(rb"https?://([^/]*)(.*)", re.IGNORECASE | re.DOTALL)


class WholeUrls:
    """Takes `POST http://host/v1/detect` for `POST /v1/detect` (RFC 9112, 3.2.2).

    The host of the URL counts, whatever the header `Host` says, so that `Access` judges it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] == "http" and (url := _URL.fullmatch(scope["raw_path"])):
            path = url[2] or b"/"
            headers = [header for header in scope["headers"] if header[0] != b"host"]
            scope = {
                **scope,
                "path": unquote(path.decode("ascii")),
                "raw_path": path,
                "headers": [(b"host", url[1]), *headers],
            }
        await self._app(scope, receive, send)
