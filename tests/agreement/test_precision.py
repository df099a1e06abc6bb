from __future__ import annotations

import pytest

from tests.conftest import Cli
from ultraface_deploy.agreement.precision import PRECISIONS, parse_precision, precision_record
from ultraface_deploy.backends import get_backend
from ultraface_deploy.bench.count.instructions import floor
from ultraface_deploy.errors import InputError
from ultraface_deploy.family.spec import ModelSpec


@pytest.mark.parametrize("name", PRECISIONS)
def test_each_has_a_record(name: str) -> None:
    assert precision_record(name).tolerance.f1 >= 0.97
    assert floor(81_400_000, name, "cortex-a53") >= floor(81_400_000, name, "cortex-a76")


@pytest.mark.parametrize("name", ["int8", "w8"])
def test_what_int8_may_lose(name: str) -> None:
    tolerance = precision_record(name).tolerance
    assert (tolerance.f1, tolerance.mean_iou) == (0.97, 0.93)


def test_an_unknown_one_is_an_error_everywhere() -> None:
    for ask in (parse_precision, precision_record, lambda name: floor(1, name, "cortex-a53")):
        with pytest.raises(InputError, match=r"precision .int4. is unknown; choose from fp32"):
            ask("int4")
    with pytest.raises(InputError, match="int4"):
        get_backend("mnn").tolerance("int4", ModelSpec("net", "slim"))  # type: ignore[arg-type]


def test_convert_takes_any_by_name(cli: Cli) -> None:
    unknown = cli("convert", "--to", "mnn", "--precision", "int4")
    assert (unknown.code, "precision 'int4' is unknown" in unknown.error) == (2, True)
