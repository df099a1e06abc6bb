"""Pickles are looked at, not carried out."""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict

import pytest

from ultraface_deploy.safe.beside import Use
from ultraface_deploy.safe.pickles import NotPlain, require_plain


def test_plain_values_of_protocol_2() -> None:
    content = OrderedDict(a=[1, 2.5, None, True], b=("text", {"c": b"bytes"}))
    file = io.BytesIO(pickle.dumps(content, 2) * 2)
    require_plain(file, 2, {})
    assert file.read() == b""


@pytest.mark.parametrize("value", [bytearray(9), print, complex(1, 2), range(3), io.BytesIO])
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_what_calls_or_names_anything_else(value: object, protocol: int) -> None:
    with pytest.raises(NotPlain):
        require_plain(io.BytesIO(pickle.dumps(value, protocol)), 1, {})


def test_what_is_no_pickle() -> None:
    for content in (b"", b"\x80\x02", b"not a pickle", b"(" * 1_000_001):
        with pytest.raises(ValueError, match=r"pickle|opcode"):
            require_plain(io.BytesIO(content), 1, {})


SHARED = b"q\x00h\x00\x86"  # a tuple of what is on the stack, twice
LONG = b"\x8a\x09" + (1 << 64).to_bytes(9, "little")


@pytest.mark.parametrize(
    "instructions",
    [
        b"}(K\x01t" + SHARED * 50 + b"K\x01s.",
        b"}(K\x01t" + SHARED * 50 + b"ctorch\nSize\nq\x01h\x01\x85R\x85K\x01s.",
        b"}(K\x01K\x02\x86K\x03u.",
        b"((K\x01tK\x02d.",
        b"}" + LONG + b"Ns.",
        b"c__builtin__\nset\n](K\x01K\x02\x86e\x85R.",
        b"ccollections\nOrderedDict\n]q\x05\x85h\x05]K\x01K\x02\x86aK\x03aa0R.",
        b"ccollections\nCounter\n((K\x01K\x02\x86tt\x85R.",
    ],
)
def test_keys_whose_hash_takes_hours_or_is_the_same(instructions: bytes) -> None:
    """A file of 200 bytes kept `torch.load` busy for longer than anybody waits."""
    with pytest.raises(ValueError, match="as a key"):
        require_plain(io.BytesIO(b"\x80\x02" + instructions), 1, {})


def test_numbers_and_tuples_that_are_no_keys() -> None:
    magic = pickle.dumps(0x1950A86A20F9469CFC6C, 2)
    content = OrderedDict(betas=(0.9, 0.999), sizes=[(1, 2), ((3,), 4)])
    for protocol in (0, 1, 2, 3):
        require_plain(io.BytesIO(magic + pickle.dumps(content, protocol)), 2, {})


@pytest.mark.parametrize("codec", ["punycode", "IDNA", "unicode-escape", "zlib"])
def test_bytes_are_encoded_in_no_other_way_than_pickle_does(codec: str) -> None:
    """`punycode` takes time by the square of the length."""
    call = b"c_codecs\nencode\nX\x01\0\0\0aX" + len(codec).to_bytes(4, "little") + codec.encode()
    with pytest.raises(NotPlain, match="encode to"):
        require_plain(io.BytesIO(b"\x80\x02" + call + b"\x86R."), 1, {})


@pytest.mark.parametrize("instructions", [b"\x86.", b"e.", b"(\x86.", b"2.", b"q\x00.", b"s."])
def test_instructions_that_have_nothing_to_work_on(instructions: bytes) -> None:
    with pytest.raises(ValueError, match="a pickle"):
        require_plain(io.BytesIO(b"\x80\x02" + instructions), 1, {})


@pytest.mark.parametrize(
    "instructions",
    [
        b"ccollections\nOrderedDict\n)R](K\x01t" + SHARED * 50 + b"K\x01\x86ab.",
        b"ca\nb\n)R](K\x01t" + SHARED * 50 + b"K\x01\x86abca\nb\n)RK\x01K\x01s\x86.",
        b"ca\nb\n)RK\x01K\x01sK\x01a.",
        b"ca\nb\n]R.",
        b"ca\nb\nq\x00((" + b"N" * 1000 + b"tq\x01" + b"h\x00h\x01R" * 200 + b"t.",
        b"".join(b"ca\nb%d\n" % each for each in range(99)) + b".",
    ],
)
def test_stand_ins_that_would_take_hours(instructions: bytes) -> None:
    """Attributes are keys too; a call copies its arguments, and looks through all names."""
    said = "not in a dict|in two ways|without a tuple|too many"
    with pytest.raises(ValueError, match=said):
        require_plain(io.BytesIO(b"\x80\x02" + instructions), 1, {})


def test_how_stand_ins_are_used() -> None:
    beside: dict[str, Use] = {}
    made = b"(ca\nobject\n)RNbca\nempty\n)\x81ca\ndict\n)RK\x01K\x01s}bca\nlist\n)RK\x01at."
    require_plain(io.BytesIO(b"\x80\x02" + made), 1, beside)
    used = {"a object": "state", "a empty": "object", "a dict": "dict", "a list": "list"}
    assert beside == used
