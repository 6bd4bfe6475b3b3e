"""Lines of code and of docstrings by room, against the budgets in pyproject.toml: a part of `make lint`.

A budget is not raised. A room above it states its lines and the promise that costs them, and may not grow.

A code line holds code: blank lines, comments and the docstrings of modules, classes and functions do not count. Links
to folders are counted once, where the folders lie; a script that people copy is data of its package.
"""

import ast
import io
import subprocess
import sys
import tokenize
import tomllib
from collections import Counter, defaultdict
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[2]
PACKAGE_DATA = ("vidcorr/protocols/plain_davis.py",)
NO_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
"""Kinds of tokens that make no code line."""
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def lines_of(source: str) -> Counter[str]:
    """Return the numbers of lines of a source that hold code, and that hold docstrings."""
    lines: set[int] = set()
    documented: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in NO_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node) is not None:
            docstring = node.body[0]
            documented.update(range(docstring.lineno, docstring.end_lineno + 1))
    return Counter({"code-lines": len(lines - documented), "docstring-lines": len(documented)})


def lines_of_rooms() -> dict[str, Counter[str]]:
    """Return the lines of each file and folder of the checkout, those of its subfolders included."""
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True)
    counted: dict[str, Counter[str]] = defaultdict(Counter)
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if path.is_symlink() or not path.is_file() or name in PACKAGE_DATA:
            continue
        lines = lines_of(path.read_text(encoding="utf-8"))
        counted[name] += lines
        for folder in PurePosixPath(name).parents:
            counted[str(folder)] += lines
    return counted


def main() -> None:
    """Print the rooms above their budgets; exit with status 1 if one is above what it states, too."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["vidcorr"]
    stated = settings.pop("above")
    counted = lines_of_rooms()
    fails = False
    for kind, budgets in settings.items():
        for rooms, budget in budgets.items():
            lines = sum(counted[room][kind] for room in rooms.split())
            if lines <= budget:
                continue
            most, promise = stated[kind].get(rooms, (budget, "no promise is named"))
            fails |= lines > most
            print(f"{rooms}: {lines} {kind}, {lines - budget} above its budget of {budget}: {promise}")
    sys.exit(int(fails))


if __name__ == "__main__":
    main()
