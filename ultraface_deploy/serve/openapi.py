"""The description of the interface that programs and the page /api read: OpenAPI 3.1."""

# Tested by tests/serve/test_app.py.

from __future__ import annotations

from typing import Any

from ultraface_deploy import __version__

_Json = dict[str, Any]


def document() -> _Json:
    """Return it."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ultraface-deploy",
            "version": __version__,
            "description": "Faces in pictures that are sent, and in a source that is watched.",
        },
        "servers": [{"url": "/"}],
        "security": [{}, {"token": []}],
        "paths": {
            "/v1/detect": {"post": _detect()},
            "/v1/events": {"get": _events()},
            "/v1/video": {
                "get": _get(
                    "The watched picture as MJPEG",
                    "Parts of multipart/x-mixed-replace; `X-Picture` is the number in the events.",
                    {"multipart/x-mixed-replace": {}},
                )
            },
            "/v1/picture.jpg": {
                "get": _get("The newest picture, in full size", "", {"image/jpeg": {}})
            },
            "/v1/status": {"get": _get("Model, source, rates, latencies", "", _json({}))},
            "/v1/history": {"get": _get("Faces of the last hour", "", _json(_HISTORY))},
            "/v1/health": {"get": _health()},
            "/metrics": {
                "get": _get("Counters for Prometheus", "", {"text/plain": {"schema": _TEXT}})
            },
        },
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Face": _FACE, "Found": _FOUND, "Problem": _PROBLEM},
        },
    }


_TEXT: _Json = {"type": "string"}
_NUMBER: _Json = {"type": "number"}
_COUNT: _Json = {"type": "integer", "minimum": 0}
_FACE: _Json = {
    "type": "object",
    "required": ["box", "score", "label"],
    "properties": {
        "box": {
            "type": "array",
            "items": _NUMBER,
            "minItems": 4,
            "maxItems": 4,
            "description": "x1 y1 x2 y2 in pixels of the picture; may reach beyond it.",
        },
        "score": {"type": "number", "minimum": 0, "maximum": 1},
        "label": {"type": "integer", "minimum": 1, "description": "1 unless the model has several"},
        "landmarks": {
            "type": "array",
            "items": {"type": "array", "items": _NUMBER},
            "description": "Five points x y, of models that have them.",
        },
    },
}
_FACES: _Json = {"type": "array", "items": {"$ref": "#/components/schemas/Face"}}
_FOUND: _Json = {
    "type": "object",
    "required": ["schema", "width", "height", "faces", "damage", "milliseconds"],
    "properties": {
        "schema": {"const": 1},
        "width": _COUNT,
        "height": _COUNT,
        "faces": _FACES,
        "damage": {
            "type": ["string", "null"],
            "description": "What is wrong with a picture of which only a part could be read.",
        },
        "milliseconds": {"type": "object", "additionalProperties": _NUMBER},
    },
}
_PROBLEM: _Json = {"type": "object", "required": ["error"], "properties": {"error": _TEXT}}
_HISTORY: _Json = {
    "type": "object",
    "properties": {
        "seconds": {"type": "number", "description": "What one entry spans."},
        "counts": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"ago": _NUMBER, "most": _COUNT, "mean": _NUMBER},
            },
        },
    },
}
_THRESHOLD: _Json = {
    "name": "threshold",
    "in": "query",
    "description": "Score above which a box is a face; default: the server's.",
    "schema": {"type": "number", "minimum": 0, "maximum": 1},
}


def _json(schema: _Json) -> _Json:
    return {"application/json": {"schema": schema}}


def _answers(description: str, content: _Json, *problems: tuple[int, str]) -> _Json:
    problem = _json({"$ref": "#/components/schemas/Problem"})
    answers: _Json = {"200": {"description": description, "content": content}}
    for status, reason in (*problems, (401, "The token is missing or wrong.")):
        answers[str(status)] = {"description": reason, "content": problem}
    return answers


def _get(summary: str, description: str, content: _Json) -> _Json:
    made = {"summary": summary, "responses": _answers(summary, content)}
    return {**made, "description": description} if description else made


def _detect() -> _Json:
    return {
        "summary": "Find the faces of a picture",
        "description": "The body is the picture's file: JPEG, PNG, WebP and what else OpenCV "
        "reads. It is not kept.",
        "parameters": [_THRESHOLD],
        "requestBody": {
            "required": True,
            "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}},
        },
        "responses": _answers(
            "The faces, best first",
            _json({"$ref": "#/components/schemas/Found"}),
            (400, "Not a picture, or a wrong parameter."),
            (408, "The picture did not arrive in time."),
            (413, "The picture is too large."),
            (415, "A form instead of a picture, or a `Content-Encoding`."),
            (503, "Too many pictures at once: `Retry-After` says in how many seconds."),
        ),
    }


def _events() -> _Json:
    return {
        **_get(
            "Faces and numbers as they come",
            "Server-sent events. `faces`: picture, its number; unix_time, when it came; width, "
            "height, faces as in Found. `status`, once a second: as /v1/status, and the board's "
            "processor and temperature. A slow reader misses some; nothing queues.",
            {"text/event-stream": {"schema": _TEXT}},
        ),
        "parameters": [_THRESHOLD],
    }


def _health() -> _Json:
    return {
        "summary": "Whether it works; needs no token",
        "security": [{}],
        "responses": {
            "200": {"description": "`ok`: the source gives pictures, or none is watched."},
            "503": {"description": "`no picture`: the source is away; it is tried again."},
        },
    }
