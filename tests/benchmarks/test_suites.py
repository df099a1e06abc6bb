from __future__ import annotations

from ultraface_deploy import models
from ultraface_deploy.backends import backend_names
from ultraface_deploy.benchmarks.suites import SUITES
from ultraface_deploy.family.spec import check_input_size


def test_suites_name_what_exists() -> None:
    for suite in SUITES.values():
        for model in suite.models:
            assert models.find(model).embedded
        assert set(suite.backends or ()) <= set(backend_names())
        for size in suite.input_sizes:
            check_input_size(*size)


def test_the_published_table_has_its_columns() -> None:
    suite = SUITES["published-table"]
    assert suite.threads == (1, 2, 3, 4)
    assert suite.precisions == ("int8",)
