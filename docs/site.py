"""Pages of the site in addition to docs/: README.md, configs/README.md, the command line, the reference."""

import contextlib
import io
import os
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from griffe import Extension, Object
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
REFERENCE = {
    "lightning_modules": "lightning_modules",
    "backbones": "lightning_modules.backbones",
    "functional": "lightning_modules.functional",
    "callbacks": "callbacks",
    "metrics": "callbacks.metrics",
    "pictures": "callbacks.pictures",
    "datamodules": "datamodules",
    "datasets": "datamodules.datasets",
}
"""Page → package whose public names it documents."""
MOVED = {"configs/README.md": "configs.md", "README.md": "index.md"}
"""File of the checkout → page of the site."""


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
    pages |= {f"reference/{page}.md": reference(package) for page, package in REFERENCE.items()}
    for path, content in pages.items():
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
        return f"]({MOVED.get(path, path.removeprefix('docs/'))}{anchor})"

    if page.file.src_path.startswith(("reference/", "command_line")):
        return markdown
    linked = re.sub(r"\]\(([^)#\s]*)(#[^)]*)?\)", moved, markdown)
    return re.sub(r"^```(\w+) +(?:run|file=\S+)$", r"```\1", linked, flags=re.MULTILINE)  # marks of tests/test_docs.py


def reference(package: str) -> str:
    """Return the page of a package: each public name by its docstring, in alphabetical order."""
    names = sorted(import_module(package).__all__, key=str.casefold)
    head = f"# {package}\n\n```python\nfrom {package} import NAME\n```\n"
    return head + "".join(f"\n::: {package}.{name}\n" for name in names)


def command_line() -> str:
    """Return the page of the command line: what `vidcorr --help` shows, and `vidcorr COMMAND --help` of each tool."""
    from cli import RUNS, overview, tools

    os.environ["COLUMNS"] = "80"  # of what argparse writes
    shown = {"": overview()}
    for command, file in tools().items():
        text = io.StringIO()
        with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
            import_module(f"{file.parent.parent.name}.tools.{file.stem}").command(["--help"])
        shown[command] = text.getvalue()
    runs = ", ".join(f"`vidcorr {command} --help`" for command in RUNS)
    head = f"# Command line\n\nThe commands that train, validate and predict have Lightning's options; see {runs}.\n"
    parts = [
        f"{f'## {command}' if command else ''}\n\n```text\n{text.rstrip()}\n```\n" for command, text in shown.items()
    ]
    return head + "\n".join(parts)
