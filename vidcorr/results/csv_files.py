"""Rows and records as the text of CSV files."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from io import StringIO
from itertools import chain


def csv_text(rows: Iterable[Iterable[object]], line_end: str = "\r\n") -> str:
    """Return rows as the text of a CSV file, for `write_atomically`; None becomes an empty cell."""
    text = StringIO()
    csv.writer(text, lineterminator=line_end).writerows(rows)
    return text.getvalue()


def fixed(values: Iterable[float], digits: int) -> list[str]:
    """Return numbers as texts with `digits` decimals; NaN becomes an empty text."""
    return [f"{value:.{digits}f}" if value == value else "" for value in values]


def csv_of_records(records: Sequence[Mapping[str, object]]) -> str:
    """Return records, column → value, as CSV text; the first line names all columns in order of appearance.

    Example:
        >>> csv_of_records([{"Sequence": "bike", "J": 0.5}, {"Sequence": "dog", "F": 0.25}]).splitlines()
        ['Sequence,J,F', 'bike,0.5,', 'dog,,0.25']
    """
    columns = dict.fromkeys(chain.from_iterable(records))
    text = StringIO()
    writer = csv.DictWriter(text, list(columns))
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def not_a_formula(value: object) -> object:
    """Return a value that no spreadsheet runs: a text that begins like a formula gets an apostrophe in front.

    A negative number, or several numbers with blanks between them, stays as it is.

    Example:
        >>> not_a_formula("=1+1"), not_a_formula("-0.5 0.25"), not_a_formula("a-b"), not_a_formula(-0.5)
        ("'=1+1", '-0.5 0.25', 'a-b', -0.5)
    """
    if not isinstance(value, str) or not value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return value
    try:
        list(map(float, value.split(" ")))
    except ValueError:
        return f"'{value}"
    return value
