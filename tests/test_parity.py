"""Each row of docs/results/parity.yaml has its fields, and names tests that there are."""

from runpy import run_path

import pytest

from tests.helpers.parity import ROOT, ROWS, STATUSES, missing_tests, reads_golden

COLUMNS = run_path(str(ROOT / "docs/site.py"))["COLUMNS_OF_PARITY"]
"""Part of the file → fields that the site shows."""
ALL = [row for part in ROWS.values() for row in part]


@pytest.mark.parametrize("part", ROWS)
def test_a_row_has_its_fields_and_no_two_are_of_one_point(part):
    of_all = {"what", "status", "test"} | ({"place"} if part != "others" else set())
    for row in ROWS[part]:
        assert row["status"] in STATUSES, row
        wanted = of_all if row["status"] == "equal" else of_all | set(COLUMNS[part])
        assert wanted <= set(row) <= of_all | set(COLUMNS[part]), row
    points = [(row.get("place"), row["what"]) for row in ROWS[part]]
    assert len(set(points)) == len(points)


def test_equal_is_a_comparison_with_numbers_of_the_authors_code_where_they_have_some():
    for row in ALL:
        if row["status"] == "equal" and row.get("code") != "none":
            assert reads_golden(row["test"]), row


def test_a_row_names_tests_that_there_are():
    for row in ALL:
        assert row["test"] or row["status"] == "missing", row
        assert missing_tests(row["test"]) == [], row
