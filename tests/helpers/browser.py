"""A headless Chromium for pages that people look at; its log must be free of errors."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver

FLAGS = ["headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "window-size=1200,800"]
FLAGS += ["disable-sync", "disable-background-networking", "disable-component-update"]


def rows_sorted_by_clicks(browser: Any, selector: str) -> int:
    """Assert that clicks on the head of a table's second column sort its scores up and down; return their number."""
    head = browser.find_element("css selector", selector)
    cells = "return [...arguments[0].closest('table').tBodies[0].rows].map(row => row.cells[1].textContent)"
    for direction in (1, -1):
        head.click()
        scores = [float(text.split()[0]) for text in browser.execute_script(cells, head)]
        assert scores == sorted(scores)[::direction]
    return len(scores)


@contextmanager
def chromium(downloads: Path) -> Iterator[Any]:
    """Open the system's Chromium, which saves to a folder; skip the test with the reason where there is none."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("no Chromium with chromedriver on this machine")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in FLAGS:
        options.add_argument(f"--{flag}")
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield opened
        errors = [entry["message"] for entry in opened.get_log("browser") if entry["level"] == "SEVERE"]
    finally:
        opened.quit()
    assert not errors
