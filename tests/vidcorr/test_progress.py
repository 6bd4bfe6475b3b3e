"""The bar of long work."""

import sys

from vidcorr.progress import progress_bar


def test_a_bar_is_drawn_often_on_a_terminal_and_seldom_elsewhere(monkeypatch):
    monkeypatch.setattr("vidcorr.progress.tqdm", dict)
    drawn = {"desc": "reading", "total": 7, "unit": " frames", "leave": False, "miniters": 1, "delay": 5}
    for terminal, seconds in ((True, 0.5), (False, 30)):
        monkeypatch.setattr(sys.stderr, "isatty", lambda shown=terminal: shown)
        assert progress_bar("reading", 7, "frames") == drawn | {"disable": False, "mininterval": seconds}
    assert progress_bar("reading", 7, silent=True) == drawn | {"unit": " items", "disable": True, "mininterval": 30}
