"""Rows and records as the text of CSV files."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from io import StringIO
from itertools import chain
from typing import Any


def csv_text(rows: Iterable[Iterable[object]], line_end: str = "\r\n") -> str:
    """Return rows as the text of a CSV file, for `write_atomically`; None becomes an empty cell."""
    text = StringIO()
    csv.writer(text, lineterminator=line_end).writerows(rows)
    return text.getvalue()


def fixed(values: Iterable[float], digits: int) -> list[str]:
    """Return numbers as texts with `digits` decimals; NaN becomes an empty text."""
    return [f"{value:.{digits}f}" if value == value else "" for value in values]


def csv_of_records(records: Sequence[Mapping[str, Any]]) -> str:
    """Return records as CSV text; the first line names all columns in the order of their first appearance.

    Args:
        records: column → value; a record without a column gets an empty cell.
    """
    columns = dict.fromkeys(chain.from_iterable(records))
    lines = [[record.get(column) for column in columns] for record in records]
    return csv_text([columns, *lines])


def not_a_formula(value: object) -> object:
    """Return a value that no spreadsheet runs: a text that begins like a formula gets an apostrophe in front.

    A negative number, or several numbers with blanks between them, stays as it is.
    """
    if not isinstance(value, str) or not value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return value
    try:
        list(map(float, value.split(" ")))
    except ValueError:
        return f"'{value}"
    return value
