"""Pages of the site in addition to docs/: README.md, configs/README.md, the command line, the reference."""

import ast
import base64
import csv
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

from griffe import Extension, Object
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = {
    "vidcorr": "vidcorr",
    "callbacks": "vidcorr.callbacks",
    "metrics": "vidcorr.metrics",
    "pictures": "vidcorr.results.pictures",
    "lightning_modules": "vidcorr.lightning_modules",
    "backbones": "vidcorr.backbones",
    "functional": "vidcorr.functional",
    "datamodules": "vidcorr.datamodules",
    "datasets": "vidcorr.datasets",
}
"""Page → package; the page documents the package's public names."""
MOVED = {"configs/README.md": "configs.md", "README.md": "index.md"}
"""File of the checkout → page of the site."""
LINKS = MOVED | {"docs/tour.ipynb": "tour.md"}
THEME_SCRIPT = "https://unpkg.com/iframe-worker/shim"


class Examples(Extension):
    """Take `Example:` of a docstring for a block of code, as `Examples:` is."""

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        """Rename the section."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are not files of docs/."""
    pages = {page: (ROOT / file).read_text("utf-8") for file, page in MOVED.items()}
    pages["command_line.md"] = command_line()
    pages["published.md"] = published()
    pages |= {f"reference/{page}.md": reference(package) for page, package in REFERENCE.items()}
    pages["sort-tables.js"] = (ROOT / "vidcorr/results/sort-tables.js").read_text("utf-8")
    pages["tour.md"], pictures = tour()
    for path, content in (pages | pictures).items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Point links between files of the checkout to the pages of the site."""
    source = next((file for file, moved in MOVED.items() if moved == page.file.src_path), f"docs/{page.file.src_path}")

    def moved(link: re.Match[str]) -> str:
        target, anchor = link[1], link[2] or ""
        if "://" in target or not target:
            return link[0]
        path = (ROOT / source).parent.joinpath(target).resolve().relative_to(ROOT).as_posix()
        return f"]({LINKS.get(path, path.removeprefix('docs/'))}{anchor})"

    if page.file.src_path.startswith(("reference/", "command_line")):
        return markdown
    linked = re.sub(r"\]\(([^)#\s]*)(#[^)]*)?\)", moved, markdown)
    if page.file.src_path == "parity.md":
        linked += agreement()
    return re.sub(r"^```(\w+) +(?:run|file=\S+)$", r"```\1", linked, flags=re.MULTILINE)  # marks of tests/test_docs.py


def on_post_page(output: str, page: Any, config: Any) -> str:
    """Load our script for the search from a folder instead of the theme's script, which lies on a host."""
    return output.replace(THEME_SCRIPT, page.url.count("/") * "../" + "folder-search.js")


def on_post_template(output_content: str, template_name: str, config: Any) -> str:
    """Load our script in the page for missing pages too."""
    return output_content.replace(THEME_SCRIPT, "/folder-search.js")


def reference(package: str) -> str:
    """Return the page of a package: the docstrings of its public names, by room, in the order of the stub file."""
    page = f"# {package}\n\n```python\nfrom {package} import NAME\n```\n"
    stub = ast.parse((ROOT / package.replace(".", "/") / "__init__.pyi").read_text("utf-8"))
    rooms: dict[str, list[str]] = {}
    for statement in stub.body:
        if isinstance(statement, ast.ImportFrom):
            room = (statement.module or "").partition(".")[0]
            if f"{package}.{room}" in REFERENCE.values():
                continue  # on a page of its own
            rooms.setdefault(room, []).extend(name.name for name in statement.names)
        elif isinstance(statement, ast.Assign):  # a name of another package, `NAME = package.module.NAME`
            rooms.setdefault("elsewhere", []).append(ast.unparse(statement.targets[0]))
    for room, names in rooms.items():
        page += f"\n## {room.replace('_', ' ').capitalize()}\n"
        page += "".join(f"\n::: {package}.{name}\n    options: {{heading_level: 3}}\n" for name in names)
    return page


def tour() -> tuple[str, dict[str, bytes]]:
    """Return the notebook as a page, and its pictures: file → content."""
    parts: list[str] = []
    pictures: dict[str, bytes] = {}
    for cell in json.loads((ROOT / "docs/tour.ipynb").read_text("utf-8"))["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/jpeg" in data:
                file = f"tour-{len(pictures)}.jpg"
                pictures[file] = base64.b64decode("".join(data["image/jpeg"]))
                parts.append(f"![Output of the cell above]({file})")
            elif "text/plain" in data:
                parts.append(f"```text\n{''.join(data['text/plain'])}\n```")
    return "\n\n".join(parts), pictures


def published() -> str:
    """Return the page of published scores: a table for each benchmark and protocol."""
    sys.path.insert(0, str(ROOT))  # here, because MkDocs restores the path after loading this file
    from vidcorr.results.rendering import html_tables
    from vidcorr.results.tabulate import published_table

    page = "# Published scores\n\nPer cent. A table has the rows of one protocol. A click on a head sorts it.\n"
    for shared, table in html_tables(published_table()).items():
        page += f"\n## {shared.benchmark} by `{shared.by}`\n\n{table}\n"
    return page


def agreement() -> str:
    """Return the tables of the parts that tests compare with the authors' code, from results/agreement.csv."""
    tables = ""
    with (ROOT / "docs/results/agreement.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for part in dict.fromkeys(row["part"] for row in rows):
        tables += f"\n## {part}\n\n| what | reference code | largest difference | check |\n|---|---|---|---|\n"
        for row in rows:
            if row["part"] == part:
                _, *cells, check = row.values()
                tables += f"| {' | '.join(cells)} | `{check}` |\n"
    return tables


def command_line() -> str:
    """Return the page of the command line: what `vidcorr --help` shows, and `vidcorr COMMAND --help` of each tool."""
    sys.path.insert(0, str(ROOT))  # here, because MkDocs restores the path after loading this file
    from vidcorr.commands import COMMANDS, RUNS, overview

    os.environ["COLUMNS"] = "80"  # width of argparse's help
    shown = {"": overview()}
    for command in COMMANDS:
        if command.name not in RUNS:
            shown[command.name] = command.parser().format_help()
    runs = ", ".join(f"`vidcorr {name} --help`" for name in RUNS)
    head = f"# Command line\n\nThe commands that train and validate have Lightning's options; see {runs}.\n"
    parts = [
        f"{f'## {command}' if command else ''}\n\n```text\n{text.rstrip()}\n```\n" for command, text in shown.items()
    ]
    return head + "\n".join(parts)
