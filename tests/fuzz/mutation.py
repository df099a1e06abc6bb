"""Damages files in ways that parsers dislike; a seed and a number always give the same damage.

Not coverage-guided: most of what is fuzzed is compiled code in other people's wheels, which
no fuzzer for Python can instrument.
"""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x40000000)
_WORDS = (
    *(b"nan", b"inf", b"-1", b"1e999", b"9" * 400, b"99999999999", b"0", b"-0.0", b"\xff\xfe"),
    *(b"../../x", b"/etc/passwd", b"null", b"{}", b"[" * 2000, b'"' + b"a" * 5000, b"\0", b""),
)
_WORD = re.compile(rb"[\w.+-]+")

Damage = Callable[[random.Random, bytearray, Sequence[int]], None]


def mutated(content: bytes, seed: str) -> bytes:
    """Return content with one to eight damages; structure is hit more often than weights."""
    generator = random.Random(seed)
    damaged = bytearray(content)
    places = structure(content)
    for _ in range(generator.choice((1, 1, 2, 4, 8))):
        generator.choice(_DAMAGES)(generator, damaged, places)
    return bytes(damaged)


def one_file(files: Mapping[str, bytes], seed: str) -> Mapping[str, bytes]:
    """Return files of which one is damaged."""
    victim = random.Random(seed).choice(sorted(files))
    return {**files, victim: mutated(files[victim], seed)}


@lru_cache(maxsize=64)
def structure(content: bytes) -> Sequence[int]:
    """Return where a file holds no weights: near zero bytes and within text.

    The bytes of trained float32 weights are rarely zero and rarely eight letters in a row.
    """
    if len(content) < 1 << 14:
        return range(len(content))
    zeros = (match.start() for match in re.finditer(rb"\0", content))
    texts = (match.start() for match in re.finditer(rb"[ -~]{8,}", content))
    return [*zeros, *texts] or range(len(content))


def _place(generator: random.Random, data: bytearray, places: Sequence[int]) -> int:
    if not data:
        return 0
    if generator.random() < 0.2 or not places:
        return generator.randrange(len(data))
    return min(len(data) - 1, max(0, generator.choice(places) + generator.randint(-4, 8)))


def _flip(generator: random.Random, data: bytearray, places: Sequence[int]) -> None:
    if data:
        data[_place(generator, data, places)] ^= 1 << generator.randrange(8)


def _number(generator: random.Random, data: bytearray, places: Sequence[int]) -> None:
    form = generator.choice(("<B", "<H", ">H", "<I", ">I", "<Q"))
    value = generator.choice(_NUMBERS) & ((1 << 8 * struct.calcsize(form)) - 1)
    at = _place(generator, data, places)
    data[at : at + struct.calcsize(form)] = struct.pack(form, value)


def _word(generator: random.Random, data: bytearray, places: Sequence[int]) -> None:
    at = _place(generator, data, places)
    if match := _WORD.search(data, at, at + 200):
        data[match.start() : match.end()] = generator.choice(_WORDS)


def _cut(generator: random.Random, data: bytearray, places: Sequence[int]) -> None:
    at = _place(generator, data, places)
    del data[at : at + generator.choice((1, 4, 64, 1 << 12, len(data)))]


def _copy(generator: random.Random, data: bytearray, places: Sequence[int]) -> None:
    source, target = (_place(generator, data, places) for _ in range(2))
    piece = data[source : source + generator.choice((1, 4, 64, 1 << 12))]
    data[target:target] = piece * generator.choice((1, 1, 1, 50))


_DAMAGES: tuple[Damage, ...] = (_flip, _flip, _number, _number, _word, _cut, _copy)
