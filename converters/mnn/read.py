"""What an `.mnn` file shows of how it is stored, without the runtime.

Fields are numbered as in MNN's schema (schema/default/MNN.fbs and CaffeOp.fbs).
"""

# Tested by tests/converters/test_stored.py.

from __future__ import annotations

from pathlib import Path

from ultraface_deploy.agreement.precision import Precision
from ultraface_deploy.errors import InputError
from ultraface_deploy.safe.files import require_file
from ultraface_deploy.safe.flatbuffer import Table
from ultraface_deploy.safe.kinds import damaged
from ultraface_deploy.safe.limits import Limit
from ultraface_deploy.safe.text import reason

_TENSORS, _OPERATORS = 1, 3
_NUMBERS_OF_TENSOR = 4
_OPERATOR, _KIND = 2, 5
_CONVOLUTIONS, _IN_INTEGERS = {12, 13}, {513, 515}
_STORED, _WAY, _HALVES = 3, 2, 3


def stored_precision(path: Path) -> Precision:
    """Return how a file is stored, by its convolutions and the numbers of its tensors.

    Raises:
        InputError: the file is damaged.
    """
    require_file(path, "MNN file", Limit.MODEL)
    try:
        return _precision(Table.root(path.read_bytes()))
    except ValueError as error:
        raise InputError(f"{path}: {damaged(path, 'MNN file', reason(error))}") from error


def _precision(net: Table) -> Precision:
    operators = net.tables(_OPERATORS)
    kinds = {operator.number(_KIND) for operator in operators}
    convolutions = [
        each.part(_OPERATOR) for each in operators if each.number(_KIND) in _CONVOLUTIONS
    ]
    stored = [each.part(_STORED) for each in convolutions if each is not None]
    ways = {each.number(_WAY) for each in stored if each is not None}
    packed = bool(ways - {0, _HALVES})
    quantised = any(each.part(_NUMBERS_OF_TENSOR) for each in net.tables(_TENSORS))
    if kinds & _IN_INTEGERS or (packed and quantised):
        return "int8"
    # Weights alone save size and no time.
    return "w8" if packed else "fp16" if _HALVES in ways else "fp32"
