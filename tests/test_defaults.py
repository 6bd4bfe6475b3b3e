"""Defaults of public classes and functions: trainings and scores of everybody who names none hang on them.

They stand in tests/helpers/defaults.json; `python -m tests.helpers.defaults` writes it anew after a change on purpose.
"""

import json

from tests.helpers.defaults import FILE, defaults


def test_no_default_changes_unseen():
    assert defaults() == json.loads(FILE.read_text())
