"""Pages of the site in addition to docs/: README.md, CONTRIBUTING.md, configs/README.md, the command line, the
reference, all arguments, and a page a method."""

import ast
import base64
import csv
import inspect
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import docstring_parser
import yaml
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
MOVED = {"configs/README.md": "configs.md", "README.md": "index.md", "CONTRIBUTING.md": "contributing.md"}
"""File of the checkout → page of the site."""
LINKS = MOVED | {"docs/tour.ipynb": "tour.md"}
METHODS = {
    "vfs_simsiam_r18": "VFS, .* (davis|jhmdb|vip)",
    "vfs_moco_r18": "",
    "liir": "Liir, .*",
    "mast_r18": "",
    "crw_r18": "CRW, .* (davis|jhmdb|vip)",
    "siammae_s16": "SiamMAE.*",
    "cropmae_s16": "CropMAE.*",
    "cosettle": "",
    "siamfc_r18": ".*, fine-tuned otb",
    "linear_probe_moco": "",
}
"""Config with a page of its own → expression of its published rows, by name and benchmark; "": none are its own."""
COLUMNS_OF_PARITY = {
    "vfs": {"what": "point", "paper": "paper", "code": "released code", "ours": "ours"},
    "liir": {"what": "point", "paper": "paper", "code": "public code", "ours": "ours"},
    "others": {"what": "part", "code": "original code", "ours": "ours"},
}
"""Part of results/parity.yaml → field of a row → head of its column."""
THEME_SCRIPT = "https://unpkg.com/iframe-worker/shim"


class Examples(Extension):
    """Take `Example:` of a docstring for a block of code, as `Examples:` is."""

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        """Rename a docstring's section `Example:` to `Examples:`, which griffe knows."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are not files of docs/."""
    pages = {page: (ROOT / file).read_text("utf-8") for file, page in MOVED.items()}
    pages["command_line.md"] = command_line()
    pages["published.md"] = published()
    pages["arguments.md"] = arguments()
    pages |= {f"methods/{config}.md": method(config, rows) for config, rows in METHODS.items()}
    pages |= {f"reference/{page}.md": reference(package) for page, package in REFERENCE.items()}
    pages["sort-tables.js"] = (ROOT / "vidcorr/results/sort-tables.js").read_text("utf-8")
    pages["tour.md"], pictures = tour()
    for path, content in (pages | pictures).items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Return a page with links to pages of the site in place of links between files of the checkout.

    The page of parity also gets its tables here.
    """
    # the file of the checkout that the page was made of: its links start there
    source = next((file for file, moved in MOVED.items() if moved == page.file.src_path), f"docs/{page.file.src_path}")

    def moved(link: re.Match[str]) -> str:
        """Return a link within the site; of a link to a file that is no part of it, the text alone."""
        text, target, anchor = link[1], link[2], link[3] or ""
        if "://" in target or not target:
            return link[0]
        path = (ROOT / source).parent.joinpath(target).resolve().relative_to(ROOT).as_posix()
        if path not in LINKS and not path.startswith("docs/"):
            return text
        return f"[{text}]({LINKS.get(path, path.removeprefix('docs/'))}{anchor})"

    if page.file.src_path.startswith(("reference/", "methods/", "arguments", "command_line")):
        return markdown
    linked = re.sub(r"\[([^\[\]]*)\]\(([^)#\s]*)(#[^)]*)?\)", moved, markdown)
    if page.file.src_path == "parity.md":
        linked = re.sub(r"<!-- rows: (\w+) -->", lambda block: parity(block[1]), linked) + agreement()
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
    """Return the notebook as a page in Markdown, and its pictures: name of a file → JPEG bytes."""
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


def parity(part: str) -> str:
    """Return a table of docs/results/parity.yaml.

    Args:
        part: a part of the file, whose rows are shown but for those of status "equal"; or "counts": the number of
            rows of each status, for VFS and Liir.
    """
    rows = yaml.safe_load((ROOT / "docs/results/parity.yaml").read_text("utf-8"))
    if part == "counts":
        statuses = ("equal", "code", "text", "own", "missing")
        lines = [f"| | {' | '.join(statuses)} |", "|---" * (len(statuses) + 1) + "|"]
        for name, title in {"vfs": "VFS", "liir": "Liir"}.items():
            found = [row["status"] for row in rows[name]]
            lines.append(f"| {title} | {' | '.join(str(found.count(status)) for status in statuses)} |")
        return "\n".join(lines)
    columns = COLUMNS_OF_PARITY[part]
    lines = [f"| {' | '.join(columns.values())} | follows |", "|---" * (len(columns) + 1) + "|"]
    for row in rows[part]:
        if row["status"] != "equal":
            place = f" ({row['place']})" if "place" in row else ""
            cells = [row[field] for field in columns if field != "what"]
            lines.append(f"| {row['what']}{place} | {' | '.join(cells)} | {row['status']} |")
    return "\n".join(lines)


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
    from vidcorr.commands import COMMANDS, OVERVIEW, RUNS

    os.environ["COLUMNS"] = "80"  # width of argparse's help
    shown = {"": OVERVIEW}
    for command in COMMANDS:
        if command.name not in RUNS:
            shown[command.name] = command.parser().format_help()
    runs = ", ".join(f"`vidcorr {name} --help`" for name in RUNS)
    head = f"# Command line\n\nThe commands that train and validate have Lightning's options; see {runs}.\n"
    parts = [
        f"{f'## {command}' if command else ''}\n\n```text\n{text.rstrip()}\n```\n" for command, text in shown.items()
    ]
    return head + "\n".join(parts)


def arguments() -> str:
    """Return the page of arguments: a table for each method, DataModule, benchmark, protocol and callback."""
    sys.path.insert(0, str(ROOT))  # here, because MkDocs restores the path after loading this file
    import vidcorr
    from vidcorr import callbacks, datamodules, lightning_modules, protocols

    kinds = {
        "Methods, `--model.NAME VALUE`": public_classes(lightning_modules),
        "Data, `--data.NAME VALUE`": public_classes(datamodules),
        "Benchmarks, in a file of `configs/benchmarks`, or in Python": [
            kind for kind in public_classes(vidcorr) if issubclass(kind, vidcorr.Benchmark)
        ],
        "Protocols, `--change NAME=VALUE`": public_classes(protocols),
        "Callbacks, in a config's `callbacks+`, or in Python": public_classes(callbacks),
    }
    page = "# Arguments\n\nThe defaults are those of the classes; a method's config has its paper's values.\n"
    for title, classes in kinds.items():
        page += f"\n## {title}\n"
        for kind in classes:
            page += f"\n### {kind.__name__}\n\n{table_of_arguments(kind)}"
    return page


def public_classes(package: Any) -> list[type]:
    """Return the classes among the public names of a package."""
    values = [getattr(package, name) for name in package.__all__]
    return [value for value in values if inspect.isclass(value) and not issubclass(value, BaseException)]


def table_of_arguments(kind: type) -> str:
    """Return a table of the arguments of a class and its bases: name, type, default, meaning."""
    lines = ["| argument | type | default | meaning |", "|---|---|---|---|"]
    meanings = meanings_of(kind)
    for name, parameter in parameters_of(kind).items():
        annotation = parameter.annotation
        named = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
        default = parameter.default
        shown = "required" if default is inspect.Parameter.empty else f"`{getattr(default, '__name__', repr(default))}`"
        cells = f"`{name}`", f"`{named}`", shown, meanings.get(name, "")
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def parameters_of(kind: type) -> dict[str, inspect.Parameter]:
    """Return the arguments of a class by name; those of its base too, if its constructor takes `**kwargs`."""
    found: dict[str, inspect.Parameter] = {}
    for base in kind.__mro__:
        if "__init__" not in vars(base):
            continue
        _, *parameters = inspect.signature(base.__init__).parameters.values()  # without self
        named = [each for each in parameters if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)]
        for parameter in named:
            found.setdefault(parameter.name, parameter)
        if all(parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters):
            break
    return found


def meanings_of(kind: type) -> dict[str, str]:
    """Return argument → its meaning in one line, by the docstring of a class, else by that of its nearest base."""
    found: dict[str, str] = {}
    for base in kind.__mro__:
        for text in (base.__doc__, getattr(vars(base).get("__init__"), "__doc__", None)):
            for parameter in docstring_parser.parse(text or "", docstring_parser.DocstringStyle.GOOGLE).params:
                found.setdefault(parameter.arg_name, " ".join((parameter.description or "").split()))
    return found


def method(config: str, rows: str) -> str:
    """Return the page of a method: its paper and expected numbers, its command, published rows and arguments.

    The first three come from the comments at the head of its config.

    Args:
        config: name of the config.
        rows: regular expression that the method's published rows match, see `METHODS`; "" for no rows.
    """
    sys.path.insert(0, str(ROOT))  # here, because MkDocs restores the path after loading this file
    from vidcorr import lightning_modules

    text = (ROOT / f"configs/{config}.yaml").read_text("utf-8")
    head = [line.removeprefix("#") for line in text.splitlines() if line.startswith("#")]
    first = next(number for number, line in enumerate(head) if "vidcorr fit" in line)
    about = re.sub(
        r"https://arxiv.org/abs/([0-9.]+[0-9])", r"[arXiv \1](\g<0>)", " ".join(map(str.strip, head[:first]))
    )
    devices, _, command = "\n".join(head[first:]).strip().partition(":")
    kind = yaml.safe_load(text)["model"]["class_path"]
    page = f"# {kind}: `{config}.yaml`\n\n{about}\n\nOn {devices}:\n\n```sh\n{command.strip()}\n```\n"
    page += f"\nThe class: [{kind}](../reference/lightning_modules.md#vidcorr.lightning_modules.{kind}). "
    page += "Trainings of ours: [results](../results.md).\n"
    if rows:
        page += published_rows(rows)
    return page + f"\n## Arguments\n\n{table_of_arguments(getattr(lightning_modules, kind))}"


def published_rows(expression: str) -> str:
    """Return a section of published rows, with scores and links to weights.

    Args:
        expression: regular expression of the wanted rows' name and benchmark, with a blank between them.
    """
    with (ROOT / "vidcorr/results/published.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if re.fullmatch(expression, f"{row['name']} {row['benchmark']}")]
    text = (
        "\n## Published rows\n\n| row | benchmark | protocol | scores | source | weights |\n|---|---|---|---|---|---|\n"
    )
    for row in rows:
        cells = row["name"], row["benchmark"], f"`{row['protocol']}`", row["scores"], row["source"], row["download"]
        text += f"| {' | '.join(cells)} |\n"
    return text
