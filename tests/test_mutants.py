"""The mutations of `make mutants` fit the code; whether they are killed takes minutes."""

from __future__ import annotations

import pytest

from tests.mutants import MUTANTS, ROOT, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.file}: {mutant.what}")
def test_mutation_fits(mutant: Mutant) -> None:
    assert mutant.fits(), f"write `before` anew after {mutant.file} in tests/mutants.py"
    assert mutant.before != mutant.after
    assert (ROOT / mutant.test).is_file()
