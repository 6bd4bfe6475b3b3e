"""Code lines by room, against the budgets in pyproject.toml: `python -m tests.helpers.sizes`, a part of `make lint`.

A budget is not raised.

A code line holds code: blank lines, comments and the docstrings of modules, classes and functions do not count. Links
to folders are counted once, where the folders lie; a script that people copy is data of its package.
"""

import ast
import io
import subprocess
import sys
import tokenize
import tomllib
from collections import Counter
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[2]
PACKAGE_DATA = ("vidcorr/protocols/plain_davis.py",)
NO_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
"""Kinds of tokens that make no code line."""
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def code_lines(source: str) -> int:
    """Return the number of lines of a source that hold code."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in NO_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node) is not None:
            docstring = node.body[0]
            lines.difference_update(range(docstring.lineno, docstring.end_lineno + 1))
    return len(lines)


def lines_of_rooms() -> Counter[str]:
    """Return the code lines of each folder of the checkout, those of its subfolders included."""
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True)
    counted: Counter[str] = Counter()
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if path.is_symlink() or not path.is_file() or name in PACKAGE_DATA:
            continue
        lines = code_lines(path.read_text(encoding="utf-8"))
        counted[name] += lines
        for folder in PurePosixPath(name).parents:
            counted[str(folder)] += lines
    return counted


def main() -> None:
    """Print the rooms that are above their budget; exit with status 1 if there is one."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    counted = lines_of_rooms()
    fails = False
    for rooms, budget in settings["tool"]["vidcorr"]["code-lines"].items():
        lines = sum(counted[room] for room in rooms.split())
        if lines > budget:
            fails = True
            print(f"{rooms}: {lines} code lines, {lines - budget} above its budget of {budget}")
    sys.exit(int(fails))


if __name__ == "__main__":
    main()
