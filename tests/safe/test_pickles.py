"""Pickles are looked at, not carried out."""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict

import pytest

from ultraface_deploy.safe.pickles import NotPlain, require_plain


def test_plain_values_of_protocol_2() -> None:
    content = OrderedDict(a=[1, 2.5, None, True], b=("text", {"c": b"bytes"}))
    file = io.BytesIO(pickle.dumps(content, 2) * 2)
    require_plain(file, 2)
    assert file.read() == b""


@pytest.mark.parametrize("value", [bytearray(9), print, complex(1, 2), range(3), io.BytesIO])
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_what_calls_or_names_anything_else(value: object, protocol: int) -> None:
    with pytest.raises(NotPlain):
        require_plain(io.BytesIO(pickle.dumps(value, protocol)))


def test_what_is_no_pickle() -> None:
    for content in (b"", b"\x80\x02", b"not a pickle", b"(" * 1_000_001):
        with pytest.raises(ValueError, match=r"pickle|opcode"):
            require_plain(io.BytesIO(content))
