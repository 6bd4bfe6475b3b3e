"""Rows and records as the text of CSV files."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from io import StringIO
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
    columns: dict[str, None] = {}
    for record in records:
        columns |= dict.fromkeys(record)
    text = StringIO()
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()
