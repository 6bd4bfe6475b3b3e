"""A report page as a test reads it."""

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from callbacks.report.run import compared_rows, read_beside, read_run, score_lines

VOID = {"meta", "link", "input", "br", "img"}


class Page(HTMLParser):
    """Checks that what is opened is closed; keeps the text, and counts elements by class."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source, self.text, self.counts = path.read_text(), "", dict[str, int]()
        self._open: list[str] = []
        self.feed(self.source)
        assert not self._open

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in VOID and dict(attrs).get("d") is None:
            self._open.append(tag)
        for name in (dict(attrs).get("class") or "").split():
            self.counts[name] = self.counts.get(name, 0) + 1

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        """Closed at once."""

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] not in (["style"], ["script"]):
            self.text += data + "\n"


def write_results(folder: Path, value: float, **about: Any) -> Path:
    folder.mkdir(parents=True)
    content = {"benchmark": "davis", "scores": {"J&F-Mean": value, "J-Mean": value / 2}, "network": "VFS", **about}
    (folder / "results.json").write_text(json.dumps(content))
    return folder


def lines(folder: Path, *beside: Path) -> list[tuple[str, float]]:
    run = read_run(folder)
    others = [read_beside(run, path) for path in beside]
    return [(line.name, line.scores["J&F-Mean"]) for line in score_lines(run, compared_rows(run), others)]


SMALL = {"radius": 3, "context": 2}
