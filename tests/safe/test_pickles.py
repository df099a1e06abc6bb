"""Pickles are looked at, not carried out."""

from __future__ import annotations

import io
import pickle
import pickletools
from collections import Counter, OrderedDict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ultraface_deploy.safe.beside import Use
from ultraface_deploy.safe.pickles import NotPlain, require_plain
from ultraface_deploy.safe.protocols import as_protocol_2, is_newer


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


def test_a_codecs_name_beside_bytes_is_a_text_like_any_other() -> None:
    content = {"compression": "zlib", "encoding": "punycode", "key": b"\x00\xff" * 9, "none": b""}
    require_plain(io.BytesIO(pickle.dumps(content, 2)), 1, {})


MANY = b"(" + b"K\x01" * 50_000
TEXT = b"X" + (400_000).to_bytes(4, "little") + b"a" * 400_000


@pytest.mark.parametrize(
    "instructions",
    [
        # A list, a dict, a text, a tuple; then what is made of it, again and again.
        b"c__builtin__\nset\nq\x00]q\x01" + MANY + b"e(" + b"h\x00h\x01\x85R" * 300 + b"t\x86.",
        b"ccollections\nCounter\nq\x00}q\x01" + MANY + b"u(" + b"h\x00h\x01\x85R" * 300 + b"t\x86.",
        b"ccollections\nCounter\nq\x00" + TEXT + b"q\x01(" + b"h\x00h\x01\x85R" * 30 + b"t\x86.",
        b"ctorch\nSize\nq\x00" + MANY + b"tq\x01(" + b"h\x00h\x01\x85R" * 300 + b"t\x86.",
        b"ctorch\nSize\nq\x00" + MANY + b"t\x85Rq\x01(" + b"h\x00h\x01\x85R" * 300 + b"t.",
        b"c_codecs\nencode\nq\x00" + TEXT + b"X\x06\0\0\0latin1\x86q\x01(" + b"h\x00h\x01R" * 3,
    ],
)
def test_copies_of_one_thing_that_would_take_hours_or_all_memory(instructions: bytes) -> None:
    """A file of a megabyte can ask for as many copies of half a megabyte."""
    with pytest.raises(ValueError, match="again and again"):
        require_plain(io.BytesIO(b"\x80\x02" + instructions), 1, {})


def test_collections_as_training_scripts_have_them() -> None:
    milestones = [Counter({30: 1, 80: 1}) for _ in range(50)]
    seen = {f"epoch {number}": {number, number + 1} for number in range(200)}
    losses = [float(number) for number in range(100_000)]
    content = OrderedDict(milestones=milestones, losses=losses)
    require_plain(io.BytesIO(pickle.dumps(content, 2)), 1, {})
    pairs = [(1, 0.5), (2, 0.25)]
    require_plain(io.BytesIO(pickle.dumps(OrderedDict(seen=seen, pairs=pairs), 2)), 1, {})


class Nested:
    """Of a pickle: an instance with attributes."""


def plain_again(content: object, protocol: int) -> Any:
    """Return what the rewritten pickle makes; it must be one of protocol 2, and plain."""
    file = io.BytesIO(pickle.dumps(content, protocol) + b"and more")
    older = as_protocol_2(file, 10**6)
    assert file.read() == b"and more"
    assert is_newer(pickle.dumps(content, protocol)) and not is_newer(older)
    beside: dict[str, Use] = {}
    require_plain(io.BytesIO(older), 1, beside)
    assert all(op.proto <= 2 or op.name == "EMPTY_SET" for op, _, _ in pickletools.genops(older))
    return pickle.loads(older)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 1 << 40)
    | st.text()
    | st.binary()
    | st.floats(0, 1),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        | st.tuples(inner, inner)
    ),
)


@pytest.mark.parametrize("protocol", [3, 4, 5])
@given(value=VALUES, text=st.text(min_size=1, max_size=9))
def test_newer_protocols_say_the_same(protocol: int, value: Any, text: str) -> None:
    shared = [value, text, "collections", "OrderedDict", text]
    content = OrderedDict(a=value, b=shared, c=shared, d=OrderedDict({text: b"\0\xff" * 200}))
    assert plain_again(content, protocol) == content


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_names_in_newer_protocols(protocol: int) -> None:
    """The texts of a name are kept, and asked for again, before and after it."""
    content = ["OrderedDict", OrderedDict(a=1), "collections", OrderedDict(), Counter("aab"), set()]
    assert plain_again(content, protocol) == content
    assert type(plain_again(content, protocol)[1]) is OrderedDict


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_what_newer_protocols_name_is_looked_at_too(protocol: int) -> None:
    beside: dict[str, Use] = {}
    older = as_protocol_2(io.BytesIO(pickle.dumps([Nested()], protocol)), 10**6)
    require_plain(io.BytesIO(older), 1, beside)
    assert beside == {f"{__name__} Nested": "object"}
    with pytest.raises(NotPlain):
        plain_again(print, protocol)


@pytest.mark.parametrize(
    "instructions",
    [
        b"N\x8c\x01a\x93.",
        b"\x8c\x01a\x8c\x03b\nc\x93.",
        b"\x8c\x01a\x94h\x00\x93\x93.",
        b"\x8f(K\x01\x90(K\x02\x90.",
        b"(\x90.",
        b"e.",
        b"\x8c\x01a",
    ],
)
def test_newer_pickles_that_nobody_writes(instructions: bytes) -> None:
    with pytest.raises(ValueError, match=r"name|set|beginning|pickle"):
        as_protocol_2(io.BytesIO(b"\x80\x04" + instructions), 10**6)


def test_steps_of_newer_pickles_are_counted() -> None:
    with pytest.raises(ValueError, match="steps"):
        as_protocol_2(io.BytesIO(pickle.dumps(list(range(99)), 4)), 50)


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
