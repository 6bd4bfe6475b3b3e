"""Tables as CSV that no spreadsheet runs as formulas."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from io import StringIO
from typing import Any

_FORMULA = re.compile(r"(?![+-]([\d.]+(e[+-]?\d+)?|inf|nan)$)[=+@'-]", re.IGNORECASE)
"""Start of what a spreadsheet takes for a formula, numbers apart, and of text that `csv_text` has marked."""


def csv_text(rows: Iterable[Iterable[object]], line_end: str = "\r\n") -> str:
    """Return rows as the text of a CSV file, for `write_atomically`; None is empty.

    Text that a spreadsheet would run as a formula has an apostrophe in front, and so has text that begins with one:
    who reads the file removes the first.
    """
    text = StringIO(newline="")
    csv.writer(text, lineterminator=line_end).writerows(
        [f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) else cell for cell in row] for row in rows
    )
    return text.getvalue()


def csv_of_records(records: Sequence[Mapping[str, Any]]) -> str:
    """Return records as CSV, below the names of all their columns, in the order in which they first appear.

    Args:
        records: column → value; a column that a record lacks is empty.
    """
    columns = list(dict.fromkeys(column for record in records for column in record))
    return csv_text([columns, *([record.get(column) for column in columns] for record in records)])
