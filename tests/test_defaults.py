"""Defaults of public classes, functions and flags: trainings and scores of everybody who names none hang on them.

And which values are frozen, compared and hashed: they are keys of what is stored and reused.

They stand in tests/helpers/defaults.json; `python -m tests.helpers.defaults` writes it anew after a change on purpose.
"""

import json

from tests.helpers.defaults import FILE, commands, defaults, values


def test_no_default_and_no_flag_changes_unseen():
    assert defaults() | values() | commands() == json.loads(FILE.read_text())
