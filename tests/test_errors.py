"""The errors a user can meet: in one file, beside `Detector`, each with its exit code."""

from __future__ import annotations

import ast
import inspect
import pickle

import pytest

import ultraface_deploy
from tests.test_rooms import modules
from ultraface_deploy import errors

PUBLIC = {name: kind for name, kind in vars(errors).items() if inspect.isclass(kind)}


def test_all_stand_beside_the_detector() -> None:
    assert sorted(PUBLIC) == errors.__all__
    for name, kind in PUBLIC.items():
        assert name in ultraface_deploy.__all__
        assert getattr(ultraface_deploy, name) is kind


def test_no_other_file_defines_one() -> None:
    elsewhere = [
        f"{module}: {node.name}"
        for module, path in modules()
        if module != "errors"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
        for base in node.bases
        if ast.unparse(base).split(".")[-1] in PUBLIC
    ]
    assert not elsewhere


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_each_says_its_exit_code(name: str) -> None:
    code = PUBLIC[name].exit_code
    assert code in (1, 2, 3)
    assert name == "UltraFaceError" or f"(exit code {code})" in (PUBLIC[name].__doc__ or "")
    assert issubclass(PUBLIC[name], errors.UltraFaceError)


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_each_comes_back_from_another_process(name: str) -> None:
    status = (2,) if name == "LibraryError" else ()
    error = PUBLIC[name](*status, "what is wrong")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (PUBLIC[name], "what is wrong", vars(error))
