"""The documents build as a site in which every link leads somewhere and every docstring is understood."""

import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from runpy import run_path
from sysconfig import get_paths

import pytest

from tests.helpers.browser import chromium, rows_sorted_by_clicks
from vidcorr.commands import COMMANDS, RUNS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built where vidcorr is not installed; mkdocs.yml makes warnings errors."""
    folder = tmp_path_factory.mktemp("site")
    script = "import sys; sys.path.append(sys.argv.pop(1)); from mkdocs.__main__ import cli; cli()"
    words = [sys.executable, "-I", "-S", "-c", script, get_paths()["purelib"]]  # without the .pth of `pip install -e`
    words += ["build", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_guides_reference_and_command_line_are_whole_and_load_nothing_from_elsewhere(site):
    pages = {str(page.relative_to(site)): page.read_text("utf-8") for page in site.rglob("*.html")}
    guides = {path.with_suffix(".html").name for path in (ROOT / "docs").glob("*.md")}
    assert guides | {"index.html", "tour.html", "configs.html", "command_line.html", "arguments.html"} <= set(pages)
    assert [
        page for page, text in pages.items() if re.search(r"<(?:script|img|link)[^>]* (?:src|href)=.?https?:", text)
    ] == []
    names = {command.name for command in COMMANDS}.difference(RUNS)
    assert [name for name in names if f"usage: vidcorr {name}" not in pages["command_line.html"]] == []
    packages = run_path(str(ROOT / "docs/site.py"))["REFERENCE"]
    for page, package in packages.items():
        of_package = [page] if package != "vidcorr" else packages  # its public names include those of three packages
        text = re.sub(r"\s", "", "".join(pages[f"reference/{name}.html"] for name in of_package))
        assert [name for name in import_module(package).__all__ if f">{name}<" not in text] == []


def test_each_method_has_a_page_and_each_argument_a_meaning(site):
    namespace = run_path(str(ROOT / "docs/site.py"))
    for config, rows in namespace["METHODS"].items():
        text = namespace["method"](config, rows)
        assert f"`{config}.yaml`" in text
        assert ("## Published rows" in text) == bool(rows)
        assert (site / f"methods/{config}.html").is_file()
    written = {path.stem for path in (ROOT / "configs").glob("*.yaml")}
    without = {"demo", "monitor", "pictures"}
    others = [
        name for name in written - without - {*namespace["METHODS"]} if not re.search("_r50$|_clips$|_simsiam$", name)
    ]
    assert others == []
    empty = [line for line in namespace["arguments"]().splitlines() if re.search(r"\|\s*\|$", line)]
    assert empty == []


def test_tables_are_sorted_by_a_click_and_the_search_works_from_the_folder(site, tmp_path):
    with chromium(tmp_path) as browser:
        browser.get((site / "published.html").as_uri())
        rows_sorted_by_clicks(browser, "article th:nth-child(2)")
        browser.implicitly_wait(60)
        browser.get((site / "reference/callbacks.html").as_uri())
        field = browser.find_element("css selector", "input.md-search__input")
        browser.execute_script("arguments[0].focus()", field)
        field.send_keys("predict_video")
        found = browser.find_elements("css selector", ".md-search-result__link")
        assert any("#vidcorr.predict_video" in link.get_attribute("href") for link in found)
