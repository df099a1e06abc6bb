"""What an `.xml` of OpenVINO says of itself, without the runtime."""

# Tested by tests/converters/openvino/test_openvino.py.

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from pathlib import Path

from ultraface_deploy.agreement.precision import Precision
from ultraface_deploy.errors import InputError
from ultraface_deploy.family.spec import METADATA_KEY, ModelSpec
from ultraface_deploy.safe.files import read_text
from ultraface_deploy.safe.limits import Limit

_STATED = re.compile(rf'<{METADATA_KEY} value="([^"]*)"')
# Where the constants lie, as the description says: offset and size of each in the `.bin`.
_PLACE = re.compile(r'\boffset="(\d{1,18})"[^>]*?\bsize="(\d{1,18})"')

_CONSTANT = re.compile(r'type="Const"[^>]*>\s*<data[^>]*element_type="(\w+)"')


def check(files: Sequence[Path]) -> None:
    """Refuse files that are damaged, or do not belong together.

    Raises:
        InputError: no intermediate representation, or one whose constants reach beyond the `.bin`.
    """
    xml, binary = files
    text = read_text(xml, Limit.TEXT)
    if "<net" not in text[:1000] or not text.rstrip().endswith("</net>"):
        raise InputError(f"{xml}: not a network of OpenVINO, or damaged; convert again")
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise InputError(f"{xml}: defines entities, which no network needs; convert again")
    size = binary.stat().st_size
    if any(int(offset) + int(length) > size for offset, length in _PLACE.findall(text)):
        raise InputError(
            f"{binary}: ends before the constants that {xml.name} names; convert again"
        )


def stored_precision(xml: Path) -> Precision:
    """Return how a network is stored: by its layers that quantise, and the type of its constants.

    Raises:
        InputError: the description cannot be read.
    """
    text = read_text(xml, Limit.TEXT)
    if 'type="FakeQuantize"' in text:
        return "int8"
    types = set(_CONSTANT.findall(text))
    return "w8" if types & {"i8", "u8"} else "fp16" if "f16" in types else "fp32"


def stated_spec(xml: Path) -> ModelSpec | None:
    """Read the spec that our converter wrote, None for other people's files."""
    found = _STATED.search(read_text(xml, Limit.TEXT))
    return None if found is None else ModelSpec.from_json(html.unescape(found[1]))
