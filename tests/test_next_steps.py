"""Errors say what to do next: held over the source, where each message is written.

What can be seen there is whether a message ends in something to do (a clause that begins with a
verb from a closed list), in what may be given instead, or in a command to type; or in a text from
one of the few places that make such ends, which have tests of their own. Whether it is the right
thing to do is seen by no such test. A check that fails or a tool that crashes is an answer, not a
mistake of the user, so `CheckFailed`, `ToolFailed` and `WorkerFailed` are not looked at.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.conftest import ROOT
from tests.test_rooms import modules

_ERRORS = {"InputError", "NoSuchSplit", "BackendError", "RemoteFailed", "MissingDependency"}
_VERBS = (
    *("add", "build", "calibrate", "call", "change", "check", "choose", "close", "compare"),
    *("connect", "convert", "copy", "count", "delete", "download", "evaluate", "export", "get"),
    *(
        "give",
        "go",
        "install",
        "leave",
        "let",
        "make",
        "measure",
        "mend",
        "name",
        "open",
        "put",
        "raise",
    ),
    *("remove", "rename", "renew", "replace", "report", "resume", "run", "save", "see", "set"),
    *("simplify", "start", "take", "time", "train", "type", "update", "use", "wait", "write"),
)
"""What a user can do. `try` is none."""
_TO_DO = re.compile(rf"(?:^|[;:?] |, or | or )(?:{'|'.join(_VERBS)}) \S")
_INSTEAD = re.compile(
    r"choose from|known (?:are|is) |must (?:be|lie|end|count|hold) |\bexpected\b|\ballowed\b"
    r"|did you mean|such as \S|for example \S|; it has \{|there are \{|you trust set \{"
)
_COMMAND = re.compile(r"ultraface-deploy [a-z{]|pip install|apt(?:-get)? install|git lfs pull")
_ENDS = re.compile(
    r"\b(?:missing|unwritable|unreadable|damaged|not_a|no_model|no_folder|no_photographs|not_read"
    r"|_about)\(|\{(?:GET_AGAIN|MAKE_AGAIN|_OTHERWISE|again|advice|instead|give)\}"
)
"""What makes such ends: functions with tests of their own, and parameters that are called so."""
_FORWARDED = re.compile(r"(?:^|: )\{(?:str\()?error\)?\}$")
"""The message of another error of ours, which is looked at where it is written."""


def _text(node: ast.expr) -> str:
    """The text of a message; of two that may be it the shorter."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(map(_text, node.values))
    if isinstance(node, ast.BinOp):
        return _text(node.left) + _text(node.right)
    if isinstance(node, ast.IfExp):
        return min(_text(node.body), _text(node.orelse), key=len)
    return f"{{{ast.unparse(node.value if isinstance(node, ast.FormattedValue) else node)}}}"


def _messages(source: str) -> Iterator[str]:
    """The texts of all errors that a file makes; what was named before stands in its place."""
    named: dict[str, str] = {}
    for node in sorted(ast.walk(ast.parse(source)), key=lambda node: getattr(node, "lineno", 0)):
        if isinstance(node, (ast.Assign, ast.NamedExpr)) and isinstance(node.value, ast.expr):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            named[ast.unparse(target)] = _text(node.value)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in _ERRORS and node.args:
            yield re.sub(
                r"\{(said|other|problem|reason|lacking)\}",
                lambda name: named.get(name[1], name[0]),
                _text(node.args[0]),
            )


def _says_what_to_do(text: str) -> bool:
    found = (_TO_DO, _INSTEAD, _COMMAND, _ENDS, _FORWARDED)
    return any(pattern.search(text) for pattern in found)


# Files whose errors another one takes up and adds what to do.
_WRAPPED = {
    "converters/caffe/graph.py": "converters/caffe/__init__.py",
    "converters/caffe/to_onnx.py": "converters/caffe/__init__.py",
    "ultraface_deploy/safe/records.py": "whoever reads the file; `again`",
    **{
        f"backends/{name}.py": "backends/base.py"
        for name in (*("caffe", "edl", "litert", "mil", "mnn", "native", "ncnn", "rknn", "tool"),)
    },
}
_REASONS = {
    "nothing is wrong any more: the same again finds whole files": (
        "another run has replaced",
        "was replaced while it was read",
    ),
    "what is wrong is all there is to know of data": (
        "names no pictures",
        "*left_out.lines()",
        "matches no image",
        "no picture, no .parquet and no .tar file is there",
        "the labels have no face at all",
        "every face is marked as",
        "split has no images",
        "{split}: {reasons}",
        "the number of faces of",
        "a face before the first",
        "holds no convolution",
        "there is nothing to download",
        "does not say which network it is",
    ),
    "a file that is none of those wanted, by its size": (
        "of any such file",
        "this is not a",
    ),
    "a name made up by who made the file, refused": (
        "leads out of this folder",
        "cannot be the name of a file",
        "is longer than a file's can be",
        "only https addresses are downloaded from",
    ),
    "another machine's own words; docs/troubleshooting.md": (
        "{host}: answered something else",
        "{host}: {heard.given_up}",
        "{host}: ended with code",
        "{host}: {str(content['error'])",
        "cannot be listed",
        "{name}: cannot be read ({str(error)",
        "failed on {core}",
    ),
    "of weights, to which converters/caffe/__init__.py adds it": ("the file is damaged",),
    "made elsewhere, with tests that look at what they say to do": (
        "usage.said(",
        "rule.said",
        "no image can be read; the first",
        "_none_with(",
    ),
}
_KNOWN = [known for several in _REASONS.values() for known in several]


def _sources() -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for _, path in modules())


def _without(name: str) -> list[str]:
    texts = _messages((ROOT / name).read_text(encoding="utf-8"))
    return [text for text in texts if not _says_what_to_do(text)]


@pytest.mark.parametrize("name", [name for name in _sources() if name not in _WRAPPED])
def test_errors_say_what_to_do_next(name: str) -> None:
    assert [text for text in _without(name) if not any(each in text for each in _KNOWN)] == []


def test_no_exception_is_left_over() -> None:
    texts = [text for name in _sources() for text in _without(name)]
    assert [each for each in _KNOWN if not any(each in text for text in texts)] == []
    assert [name for name in _WRAPPED if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize(
    "message",
    [
        'f"{path}: no such file"',
        'f"{path}: is damaged; try again"',
        'f"{path}: is damaged; the file cannot be read"',
        'f"{path}: is damaged: {reason}; sorry"',
        'f"`batch` {text}: is wrong; give"',
        'f"{path}: cannot be read ({error})"',
        '"short" if short else "long; give another file"',
    ],
)
def test_a_message_that_says_nothing_to_do_would_be_seen(message: str) -> None:
    (text,) = _messages(f"raise InputError({message})")
    assert not _says_what_to_do(text)


@pytest.mark.parametrize(
    "message",
    [
        'f"`batch` {text}: give 1 to {MOST}, or dynamic"',
        'f"`head` {text}: unknown; choose from {known}"',
        'f"{path}: {missing(path, what)}"',
        'f"make one with: ultraface-deploy convert {path}"',
        'f"{path}: {error}"',
    ],
)
def test_what_says_it_may_stand(message: str) -> None:
    (text,) = _messages(f"raise InputError({message})")
    assert _says_what_to_do(text)
