"""The house: rooms import downwards only."""

import pytest

from tests.helpers.import_structure import structure


@pytest.mark.parametrize("package", ["callbacks", "datamodules", "lightning_modules"])
def test_no_room_imports_in_a_circle(package: str) -> None:
    assert structure(package).circles == []
