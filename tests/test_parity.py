"""docs/parity.md shows the rows of docs/results/parity.yaml, and each row names tests that there are."""

import re

import pytest

from tests.helpers.parity import COLUMNS, PAGE, ROWS, STATUSES, missing_tests, written

ALL = [row for part in ROWS.values() for row in part]


def test_the_tables_are_those_of_the_rows():
    """`python -m tests.helpers.parity` writes them."""
    text = PAGE.read_text("utf-8")
    assert written(text) == text
    assert {*re.findall(r"<!-- generated: (\w+) -->", text)} == {*COLUMNS, "counts"}


@pytest.mark.parametrize("part", ROWS)
def test_a_row_has_its_fields_and_no_two_are_of_one_point(part):
    of_all = {"what", "status", "test"} | ({"place"} if part != "others" else set())
    for row in ROWS[part]:
        assert row["status"] in STATUSES, row
        wanted = of_all if row["status"] == "equal" else of_all | set(COLUMNS[part])
        assert wanted <= set(row) <= of_all | set(COLUMNS[part]), row
    points = [(row.get("place"), row["what"]) for row in ROWS[part]]
    assert len(set(points)) == len(points)


def test_a_row_names_tests_that_there_are():
    for row in ALL:
        assert row["test"] or row["status"] == "missing", row
        assert missing_tests(row["test"]) == [], row
