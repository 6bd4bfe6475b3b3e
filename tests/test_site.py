"""The documents build as a site in which every link leads somewhere and every docstring is understood."""

import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from sysconfig import get_paths

import pytest

from tests.helpers.browser import chromium
from vidcorr.commands import tools

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built where vidcorr is not installed; mkdocs.yml makes warnings errors."""
    for name in ("mkdocs", "material", "mkdocstrings_handlers"):
        pytest.importorskip(name, reason="the extra `docs` is not installed: run `make docs`")
    folder = tmp_path_factory.mktemp("site")
    script = "import sys; sys.path.append(sys.argv.pop(1)); from mkdocs.__main__ import cli; cli()"
    words = [sys.executable, "-I", "-S", "-c", script, get_paths()["purelib"]]  # without the .pth of `pip install -e`
    words += ["build", "--quiet", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_guide_is_a_page_and_no_page_loads_from_elsewhere(site):
    guides = {path.with_suffix(".html").name for path in (ROOT / "docs").glob("*.md")}
    assert guides | {"index.html", "tour.html", "configs.html", "command_line.html"} <= {
        path.name for path in site.glob("*.html")
    }
    for page in site.rglob("*.html"):
        assert not re.search(r"<(?:script|img|link)[^>]* (?:src|href)=.?https?:", page.read_text("utf-8")), page


@pytest.mark.parametrize(
    "package", ["vidcorr", "callbacks", "vidcorr.metrics", "datamodules", "vidcorr.datasets", "lightning_modules"]
)
def test_the_reference_has_every_public_name(site, package):
    text = (site / f"reference/{package.rpartition('.')[2]}.html").read_text("utf-8")
    assert [name for name in import_module(package).__all__ if f">{name}<" not in re.sub(r"\s", "", text)] == []


def test_the_command_line_has_every_tool(site):
    text = (site / "command_line.html").read_text("utf-8")
    assert [word for word in tools() if f"usage: vidcorr {word}" not in text] == []


def test_the_page_of_stored_results_is_linked_where_make_docs_writes_it(site):
    assert 'href="results/measured/results.html"' in (site / "results.html").read_text("utf-8")
    assert "--page site/results/measured\n" in (ROOT / "Makefile").read_text()


def test_a_table_is_sorted_by_the_column_that_is_clicked(site, tmp_path):
    with chromium(tmp_path) as browser:
        browser.get((site / "published.html").as_uri())
        head = browser.find_element("css selector", "article th")
        for direction in (1, -1):
            head.click()
            first = "return [...arguments[0].closest('table').tBodies[0].rows].map(row => row.cells[0].textContent)"
            scores = [float(text.split()[0]) for text in browser.execute_script(first, head)]
            assert scores == sorted(scores)[::direction]
            assert len(set(scores)) > 9


def test_the_search_works_in_pages_opened_from_the_folder(site, tmp_path):
    from selenium.webdriver.support.ui import WebDriverWait

    with chromium(tmp_path) as browser:
        browser.get((site / "reference/callbacks.html").as_uri())
        field = browser.find_element("css selector", "input.md-search__input")
        browser.execute_script("arguments[0].focus()", field)
        field.send_keys("predict_video")
        found = WebDriverWait(browser, 60).until(
            lambda page: page.find_elements("css selector", ".md-search-result__link")
        )
        assert any("#vidcorr.predict_video" in link.get_attribute("href") for link in found)
