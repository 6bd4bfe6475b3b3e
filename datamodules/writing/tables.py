"""CSV tables without formulas, which a spreadsheet would run."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from io import StringIO
from typing import Any

_FORMULA = re.compile(r"(?![+-]([\d.]+(e[+-]?\d+)?|inf|nan)$)[=+@'-]", re.IGNORECASE)
"""Start of a spreadsheet's formula, but not of a number, and of text that `csv_text` has marked."""


def csv_text(rows: Iterable[Iterable[object]], line_end: str = "\r\n") -> str:
    """Return rows as the text of a CSV file, for `write_atomically`; None is empty.

    An apostrophe is put before text that a spreadsheet would run as a formula, and before text that begins with an
    apostrophe; a reader of the file removes the first apostrophe.
    """
    text = StringIO(newline="")
    csv.writer(text, lineterminator=line_end).writerows(
        [f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) else cell for cell in row] for row in rows
    )
    return text.getvalue()


def csv_of_records(records: Sequence[Mapping[str, Any]]) -> str:
    """Return records as CSV, with a heading of all columns in the order of their first appearance.

    Args:
        records: column → value; a column that a record lacks is empty.
    """
    columns = list(dict.fromkeys(column for record in records for column in record))
    return csv_text([columns, *([record.get(column) for column in columns] for record in records)])
