"""Write the tables of docs/parity.md from docs/results/parity.yaml: `python -m tests.helpers.parity`."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "parity.md"
ROWS: dict[str, list[dict[str, str]]] = yaml.safe_load((ROOT / "docs/results/parity.yaml").read_text("utf-8"))
STATUSES = ("equal", "code", "text", "own", "missing")
"""Explained at the head of the rows' file."""
COLUMNS = {
    "vfs": {"what": "point", "paper": "paper", "code": "released code", "ours": "ours"},
    "liir": {"what": "point", "paper": "paper", "code": "public code", "ours": "ours"},
    "others": {"what": "part", "code": "original code", "ours": "ours"},
}
"""Part of the file → field of a row → head of its column."""


def point(row: dict[str, str]) -> str:
    """Return what a row compares, with its place in the paper."""
    return f"{row['what']} ({row['place']})" if "place" in row else row["what"]


def table(part: str) -> str:
    """Return the Markdown table of a part's rows, but for those that are equal."""
    heads = [*COLUMNS[part].values(), "follows"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for row in ROWS[part]:
        if row["status"] != "equal":
            cells = [row[field] for field in COLUMNS[part] if field != "what"]
            lines.append(f"| {' | '.join([point(row), *cells, row['status']])} |")
    return "\n".join(lines) + "\n"


def counts() -> str:
    """Return the Markdown table of the numbers of rows by part and status."""
    lines = [f"| | {' | '.join(STATUSES)} |", "|---" * (len(STATUSES) + 1) + "|"]
    for part, name in {"vfs": "VFS", "liir": "Liir"}.items():
        found = [row["status"] for row in ROWS[part]]
        numbers = [str(found.count(status)) for status in STATUSES]
        lines.append(f"| {name} | {' | '.join(numbers)} |")
    return "\n".join(lines) + "\n"


def written(text: str) -> str:
    """Return the page with its generated blocks, `<!-- generated: NAME -->` to `<!-- end -->`, made anew."""
    blocks = {part: table(part) for part in COLUMNS} | {"counts": counts()}

    def block(match: re.Match[str]) -> str:
        return f"<!-- generated: {match[1]} -->\n{blocks[match[1]]}<!-- end -->"

    return re.sub(r"<!-- generated: (\w+) -->\n.*?<!-- end -->", block, text, flags=re.DOTALL)


def missing_tests(names: str) -> list[str]:
    """Return those of the tests `FILE` or `FILE::NAME`, parted by blanks, that do not exist."""
    missing = []
    for name in names.split():
        file, _, test = name.partition("::")
        path = ROOT / file
        is_there = path.is_file() and (not test or f"def {test}(" in path.read_text("utf-8"))
        if not is_there:
            missing.append(name)
    return missing


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text("utf-8")), "utf-8")
