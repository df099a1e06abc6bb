"""Which names a stand-in takes the place of."""

from __future__ import annotations

import pytest

from ultraface_deploy.safe.beside import StandIn, is_beside, stand_ins


@pytest.mark.parametrize(
    "name",
    [
        *("argparse Namespace", "pathlib PosixPath", "pathlib._local PosixPath"),
        *("numpy.core.multiarray scalar", "numpy dtype", "__main__ Config", "__builtin__ list"),
        *("collections defaultdict", "torch.torch_version TorchVersion", "omegaconf.base Node"),
        *("torch.optim.lr_scheduler StepLR", "datetime datetime", "typing Any"),
    ],
)
def test_harmless(name: str) -> None:
    assert is_beside(name)


@pytest.mark.parametrize(
    "name",
    [
        *("posix system", "os system", "nt system", "subprocess Popen", "__builtin__ eval"),
        *("builtins exec", "builtins bytearray", "builtins getattr", "builtins __import__"),
        *("runpy run_path", "commands getoutput", "UserDict Counter", "importlib import_module"),
        *("torch._utils _rebuild_qtensor", "torch _utils._rebuild_qtensor", "torch.hub load"),
        *("torch Tensor", "os.path join", " system", "a b c", "a b\r", "a. b", "ä b"),
    ],
)
def test_refused(name: str) -> None:
    assert not is_beside(name)


def test_nothing_that_torch_calls_by_itself() -> None:
    pytest.importorskip("torch", reason="its own names")
    from torch._utils import IMPORT_MAPPING, NAME_MAPPING
    from torch._weights_only_unpickler import _get_allowed_globals

    own = {name: name for name in _get_allowed_globals()}
    own |= {".".join(old): ".".join(new) for old, new in NAME_MAPPING.items()}
    own |= {f"{old}.Counter": "collections.Counter" for old in IMPORT_MAPPING}
    taken = [old for old, new in own.items() if is_beside(" ".join(old.rsplit(".", 1)))]
    assert {own[old] for old in taken} & _get_allowed_globals().keys() == set()


def test_stand_ins_keep_nothing() -> None:
    (kind, name), (filled, _), (listed, _) = stand_ins(
        {"__builtin__ list": "object", "a b": "dict", "a c": "list"}, ["other.name"]
    )
    assert name == "builtins.list"
    made = kind(1, 2)
    made.__setstate__({"a": 1})
    assert isinstance(made, StandIn)
    assert not hasattr(made, "__dict__")
    assert (filled(5), listed(5)) == ({}, [])


def test_a_name_that_the_program_itself_allows() -> None:
    with pytest.raises(ValueError, match=r"a\.b"):
        stand_ins({"a b": "object"}, ["a.b"])
