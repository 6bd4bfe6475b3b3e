"""Rows and records as the text of CSV files."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from io import StringIO
from itertools import chain
from typing import Any


def csv_text(rows: Iterable[Iterable[object]], line_end: str = "\r\n") -> str:
    """Return rows as the text of a CSV file, for `write_atomically`; None is empty."""
    text = StringIO()
    csv.writer(text, lineterminator=line_end).writerows(rows)
    return text.getvalue()


def fixed(values: Iterable[float], digits: int) -> list[str]:
    """Return numbers as text with a fixed number of decimals; NaN is empty."""
    return [f"{value:.{digits}f}" if value == value else "" for value in values]


def csv_of_records(records: Sequence[Mapping[str, Any]]) -> str:
    """Return records as CSV, with a heading of all columns in the order of their first appearance.

    Args:
        records: column → value; a column that a record lacks is empty.
    """
    columns = dict.fromkeys(chain.from_iterable(records))
    lines = [[record.get(column) for column in columns] for record in records]
    return csv_text([columns, *lines])


def not_a_formula(value: object) -> object:
    """Return a value for a spreadsheet: a text that begins like a formula gets an apostrophe in front.

    A number, or several with blanks between them, is no formula.
    """
    if not isinstance(value, str) or not value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return value
    try:
        list(map(float, value.split(" ")))
    except ValueError:
        return f"'{value}"
    return value
