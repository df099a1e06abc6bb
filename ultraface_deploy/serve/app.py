"""The addresses of the server, and what is behind each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from ultraface_deploy.detect.detector import Detector
from ultraface_deploy.serve.access import Access
from ultraface_deploy.serve.detecting import Detecting, read_threshold
from ultraface_deploy.serve.live import Live, Watched
from ultraface_deploy.serve.looking import Look
from ultraface_deploy.serve.metrics import CONTENT_TYPE, Metrics
from ultraface_deploy.serve.openapi import document
from ultraface_deploy.serve.statistics import BUCKET_S
from ultraface_deploy.serve.streams import BOUNDARY, Bounded, event_parts, jpeg_parts, open_stream
from ultraface_deploy.serve.target import WholeUrls

MOST_REQUESTS = 600
"""Two streams for each of the most viewers, and room for more."""
STATIC = Path(__file__).with_name("static")


@dataclass(frozen=True)
class Parts:
    """What is served: `model` says which network runs how, `live` is None without a source."""

    model: dict[str, Any]
    threshold: float
    detecting: Detecting
    metrics: Metrics
    live: Live | None
    token: str | None = None

    @classmethod
    def of(
        cls,
        watching: Detector,
        answering: Detector,
        watched: Watched | None = None,
        threads: int = 1,
        token: str | None = None,
        most_mb: int = 16,
        at_once: int = 8,
    ) -> Parts:
        """Put together what two detectors of one model serve.

        Args:
            watching: looks at the source. Of the view of both, `keep_aspect` is served.
            answering: looks at pictures that are sent.
            watched: the source; None to answer alone.
            threads: that each detector takes; for the viewers' information.
            token: what viewers must know; None where only this machine gets here.
            most_mb: MiB of a picture that is sent.
            at_once: how many may be sent at once.
        """
        spec, metrics = watching.spec, Metrics()
        threshold = watching.options.threshold(spec)
        model = {
            "name": spec.name,
            "input": [spec.width, spec.height],
            "backend": watching.backend.name,
            "precision": watching.precision,
            "threads": threads,
            "keep_aspect": watching.view.keep_aspect,
        }
        live = None
        if watched is not None:
            live = Live(watched, _look_of(watching), threshold, metrics)
        detecting = Detecting(_look_of(answering), threshold, metrics, most_mb, at_once)
        return cls(model, threshold, detecting, metrics, live, token)


def _look_of(detector: Detector) -> Look:
    return Look(detector.session, detector.view.keep_aspect)


def build_app(parts: Parts) -> Starlette:
    """Return the application."""
    served = _Served(parts)
    routes = [
        Route("/", served.page),
        Route("/api", served.api_page),
        Route("/metrics", served.metrics),
        Route("/v1/detect", parts.detecting.answer, methods=["POST"]),
        Route("/v1/events", served.events),
        Route("/v1/health", served.health),
        Route("/v1/history", served.history),
        Route("/v1/openapi.json", served.openapi),
        Route("/v1/picture.jpg", served.picture),
        Route("/v1/status", served.status),
        Route("/v1/video", served.video),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    login = (STATIC / "login.html").read_text()
    return Starlette(
        routes=routes,
        middleware=[
            Middleware(WholeUrls),
            Middleware(Bounded, most=MOST_REQUESTS),
            Middleware(Access, token=parts.token, login=login),
        ],
        exception_handlers={HTTPException: _problem, 500: _broken},
        lifespan=served.lifespan,
    )


class _Served:
    """The answers."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        if self._parts.live is not None:
            self._parts.live.open()
        try:
            yield
        finally:
            if self._parts.live is not None:
                await self._parts.live.close()
            self._parts.detecting.close()

    @property
    def live(self) -> Live:
        if self._parts.live is None:
            raise HTTPException(404, "nothing is watched: serve was started without a source")
        return self._parts.live

    async def page(self, request: Request) -> Response:
        return FileResponse(STATIC / ("api.html" if self._parts.live is None else "index.html"))

    async def api_page(self, request: Request) -> Response:
        return FileResponse(STATIC / "api.html")

    async def openapi(self, request: Request) -> Response:
        return JSONResponse(document())

    async def health(self, request: Request) -> Response:
        live = self._parts.live
        if live is None or live.running:
            return JSONResponse({"status": "ok"})
        return JSONResponse({"status": "no picture"}, 503)

    async def status(self, request: Request) -> Response:
        live = self._parts.live
        of_source = {"source": None} if live is None else live.status()
        model = self._parts.model
        return JSONResponse({"model": model, "threshold": self._parts.threshold, **of_source})

    async def history(self, request: Request) -> Response:
        rows = self.live.statistics.hour()
        counts = [{"ago": ago, "most": most, "mean": mean} for ago, most, mean in rows]
        return JSONResponse({"seconds": BUCKET_S, "counts": counts})

    async def metrics(self, request: Request) -> Response:
        return Response(self._parts.metrics.text(), media_type=CONTENT_TYPE)

    async def picture(self, request: Request) -> Response:
        found = await self.live.whole_picture()
        if found is None:
            raise HTTPException(503, "there is no picture yet", {"retry-after": "1"})
        number, jpeg = found
        return Response(jpeg, media_type="image/jpeg", headers={"x-picture": str(number)})

    async def video(self, request: Request) -> Response:
        media_type = f"multipart/x-mixed-replace; boundary={BOUNDARY}"
        parts = partial(jpeg_parts, self.live.pictures)
        return open_stream(parts, self.live.watching, media_type, request.method)

    async def events(self, request: Request) -> Response:
        threshold = read_threshold(request, self._parts.threshold)
        parts = partial(event_parts, self.live.events(threshold))
        return open_stream(parts, self.live.listening, "text/event-stream", request.method)


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def _broken(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "this is a bug; the server's output says more"}, 500)
