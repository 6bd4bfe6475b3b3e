"""`vidcorr prompt`: what is drawn in the page with the mouse is what `predict` reads."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cli import main
from datamodules.reading.errors import DataError
from datamodules.reading.prompts import BoxPrompt, MaskPrompt, PointPrompt
from datamodules.tools.prompt import write_page

SIZE = 96, 160
"""Height and width of the frames, pixels."""


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """A folder of three frames with a quote and markup in its name."""
    folder = tmp_path / "my <b>'clip'"
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (*SIZE, 3), np.uint8)
    for number in range(3):
        Image.fromarray(np.roll(noise, 2 * number, axis=1)).save(folder / f"{number:05d}.png")
    return folder


def test_the_page_is_complete_in_itself(video: Path, tmp_path: Path) -> None:
    page = write_page(video, tmp_path / "out/page.html").read_text()
    assert "my &lt;b&gt;" in page
    assert "<b>'clip'" not in page
    assert f"WIDTH = {SIZE[1]}, HEIGHT = {SIZE[0]}" in page
    assert "data:image/jpeg;base64," in page
    assert "{{" not in page
    assert "http" not in page


def test_a_missing_video_is_one_line(tmp_path: Path) -> None:
    with pytest.raises((DataError, OSError), match=r"nothing\.mp4"):
        write_page(tmp_path / "nothing.mp4", tmp_path / "page.html")


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    """A headless Chromium that saves to the test's folder."""
    selenium = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("no Chromium with chromedriver on this machine")
    options = selenium.ChromeOptions()
    options.binary_location = chromium
    for flag in ("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "window-size=1200,800"):
        options.add_argument(f"--{flag}")
    for flag in ("disable-background-networking", "disable-component-update", "disable-sync"):
        options.add_argument(f"--{flag}")
    options.add_experimental_option("prefs", {"download.default_directory": str(tmp_path)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = selenium.Chrome(options=options, service=selenium.ChromeService(driver))
    yield opened
    errors = [entry["message"] for entry in opened.get_log("browser") if entry["level"] == "SEVERE"]
    opened.quit()
    assert not errors


class Hand:
    """Draws on the page's canvas; places are pixels of the frame."""

    def __init__(self, browser: Any) -> None:
        from selenium.webdriver import ActionChains

        self._browser, self._actions = browser, ActionChains
        self._canvas = browser.find_element("id", "canvas")

    def at(self, x: float, y: float) -> tuple[int, int]:
        """Return the offset of a place from the canvas's centre, in screen pixels."""
        view = self._browser.execute_script(
            "return [view.scale, view.x, view.y, canvas.clientWidth, canvas.clientHeight]"
        )
        return round(x * view[0] + view[1] - view[3] / 2), round(y * view[0] + view[2] - view[4] / 2)

    def click(self, x: float, y: float) -> None:
        self._actions(self._browser).move_to_element_with_offset(self._canvas, *self.at(x, y)).click().perform()

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        chain = (
            self._actions(self._browser).move_to_element_with_offset(self._canvas, *self.at(*start)).click_and_hold()
        )
        chain.move_to_element_with_offset(self._canvas, *self.at(*end)).release().perform()

    def press(self, name: str) -> None:
        self._browser.find_element("css selector", name).click()

    def keys(self, *keys: str) -> None:
        self._actions(self._browser).send_keys(*keys).perform()


def saved(folder: Path, name: str) -> Path:
    """Wait until the browser has saved a file."""
    for _ in range(200):
        if (folder / name).is_file() and (folder / name).stat().st_size:
            return folder / name
        time.sleep(0.05)
    raise AssertionError(f"{name} was not saved; there are {sorted(path.name for path in folder.iterdir())}")


@pytest.mark.slow
def test_from_drawing_to_prediction(video: Path, tmp_path: Path, browser: Any) -> None:
    page = write_page(video, tmp_path / "page.html")
    browser.get(page.as_uri())
    hand = Hand(browser)
    for corner in ((20, 20), (60, 20), (60, 70), (20, 70)):
        hand.click(*corner)
    hand.keys("\ue007")  # Enter
    hand.press("#add")
    hand.press("[data-tool=box]")
    hand.drag((90, 30), (130, 80))
    hand.press("#save-mask")
    mask = MaskPrompt.of(saved(tmp_path, "mask.png"))
    assert mask.ids.shape == SIZE
    assert mask.objects == (1, 2)
    expected = np.zeros(SIZE, np.uint8)
    expected[20:70, 20:60] = 1
    expected[30:80, 90:130] = 2
    assert (mask.ids != expected).mean() < 0.01  # a click is as exact as a screen pixel

    hand.press("#save-box")
    box = BoxPrompt.of(saved(tmp_path, "box.json"))
    assert (box.x, box.y, box.width, box.height) == pytest.approx((90, 30, 40, 50), abs=0.5)

    hand.press("[data-tool=point]")
    hand.click(50.5, 40.5)
    hand.click(10.5, 80.5)
    browser.find_elements("css selector", "#points input")[0].send_keys("\ue009a\ue000nose, tip\n")  # Ctrl+A
    hand.press("#save-points")
    points = PointPrompt.of(saved(tmp_path, "points.csv"))
    assert points.names == ("nose, tip", "point 2")
    assert points.points == pytest.approx(np.array([[50, 40], [10, 80]]), abs=0.5)

    hand.press("#undo")
    assert browser.find_elements("css selector", "#points input")[0].get_attribute("value") == "point 1"
    command = browser.find_element("id", "command").text
    assert "--data.points points.csv" in command

    words = ["predict", "--model", "FrozenEncoder", "--model.spec", "raw_colour", "--data.video", str(video)]
    output = ["--trainer.callbacks.output_dir", str(tmp_path / "out"), "--trainer.callbacks.overlay", "none"]
    main([*words, "--data.mask", str(tmp_path / "mask.png"), *output, "--trainer.accelerator", "cpu"])
    assert len(list((tmp_path / "out/masks").glob("*.png"))) == 3


@pytest.mark.slow
def test_zooming_keeps_places(video: Path, tmp_path: Path, browser: Any) -> None:
    browser.get(write_page(video, tmp_path / "page.html").as_uri())
    hand = Hand(browser)
    browser.execute_script("zoom(3, 300, 300)")
    hand.press("[data-tool=point]")
    x, y = browser.execute_script("return [(400 - view.x) / view.scale, (350 - view.y) / view.scale]")
    hand.click(x, y)
    placed = browser.execute_script("return state.points[0].at")
    assert placed == pytest.approx([x - 0.5, y - 0.5], abs=0.2)
