"""`vidcorr prompt`: what is drawn in the page with the mouse is what `predict` reads.

Also tests `videos/prompt_page.py`.
"""

import json
import re
import shlex
import time
from base64 import b64decode
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.helpers.browser import chromium
from tests.helpers.refusal import refused
from vidcorr.cli import main
from vidcorr.datasets.generated.writers import write_mp4
from vidcorr.videos.annotation_files import read_masks
from vidcorr.videos.files import DataError
from vidcorr.videos.prompt_page import write_page
from vidcorr.videos.prompts import BoxPrompt, PointPrompt

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


def frames_of(page: str) -> list[dict[str, Any]]:
    """The frames that a page holds, as its script reads them."""
    return json.loads(re.search(r"FRAMES = (\[.*?\]), WIDTH", page)[1])


def test_the_page_is_complete_in_itself_and_has_the_chosen_frames(video: Path, tmp_path: Path, capsys: Any) -> None:
    output = tmp_path / "an/out/page.html"
    main(["prompt", str(video), "--output", str(output), "--frames", "2", "1", "1"])
    assert capsys.readouterr().out.startswith(f"{output}: open it in a browser")
    page = output.read_text()
    assert [(frame["number"], frame["label"]) for frame in frames_of(page)] == [(1, "00001"), (2, "00002")]
    assert f"WIDTH = {SIZE[1]}, HEIGHT = {SIZE[0]}" in page
    (tmp_path / "frame.jpg").write_bytes(b64decode(re.search(r'"data:image/jpeg;base64,([^"]*)"', page)[1]))
    assert Image.open(tmp_path / "frame.jpg").quantization[0][0] == 2  # of quality 95
    assert "my &lt;b&gt;" in page
    assert not [text for text in ("<b>'clip'", "{{", "http") if text in page]
    clip = tmp_path / "clip.mp4"
    write_mp4(clip, np.random.default_rng(0).integers(0, 255, (9, 32, 32, 3), np.uint8), rate=4)
    assert [f["label"] for f in frames_of(write_page(clip, output, [6, 8]).read_text())] == ["6", "8"]
    assert [f["label"] for f in frames_of(write_page(clip, output).read_text())] == ["0"]
    refused(DataError, "has no frame 3", write_page, video, output, [3])


def saved(file: Path) -> Path:
    """Wait until the browser has saved a file."""
    for _ in range(200):
        if file.is_file() and file.stat().st_size:
            return file
        time.sleep(0.05)
    raise AssertionError(f"{file.name} was not saved")


def downloads(command: str, flag: str) -> list[str]:
    """Return the names of the files in Downloads that a command of the page names."""
    words = shlex.split(command)
    assert words[:2] == ["vidcorr", "predict"]
    assert words[3] == f"--{flag}"
    return [word.removeprefix("~/Downloads/") for word in words[4:]]


@pytest.mark.slow
def test_from_drawing_on_a_frame_to_its_prompt(video: Path, tmp_path: Path) -> None:
    """A polygon, a box and a named point in the second frame; places are pixels of the frame."""
    from selenium.webdriver import ActionChains
    from selenium.webdriver.support.ui import WebDriverWait

    with chromium(tmp_path) as browser:
        browser.get(write_page(video, tmp_path / "page.html", [0, 2]).as_uri())
        WebDriverWait(browser, 60).until(lambda opened: opened.find_element("id", "hint").text)  # pictures are there

        def at(x: float, y: float) -> Any:
            script = "return [view.scale, view.x, view.y, canvas.clientWidth, canvas.clientHeight]"
            scale, left, top, width, height = browser.execute_script(script)
            place = round(x * scale + left - width / 2), round(y * scale + top - height / 2)
            return ActionChains(browser).move_to_element_with_offset(browser.find_element("id", "canvas"), *place)

        def press(name: str) -> str:
            browser.find_element("css selector", name).click()
            return browser.find_element("id", "command").text

        press("#frames button:nth-child(2)")
        assert browser.find_element("id", "frame").text == "frame 00002"
        for corner in ((20, 20), (60, 20), (60, 70), (20, 70)):
            at(*corner).click().perform()
        at(20, 70).send_keys("\ue007").perform()  # Enter
        press("[data-tool=box]")
        press("#add")
        at(90, 30).click_and_hold().perform()
        at(130, 80).release().perform()
        press("[data-tool=point]")
        at(34.5, 44.5).click().perform()
        browser.find_element("css selector", "#points input").send_keys("\ue009a\ue000nose\n")
        (of_second,) = downloads(press("#save-mask"), "mask")
        press("#frames button:nth-child(1)")
        press("[data-tool=box]")
        for left in (10, 60):
            at(left, 30).click_and_hold().perform()
            at(left + 40, 80).release().perform()
        of_first, again = downloads(press("#save-mask"), "mask")
        assert again == of_second
        expected = np.zeros(SIZE, np.uint8)
        expected[20:70, 20:60], expected[30:80, 90:130] = 1, 2
        found = read_masks([str(saved(tmp_path / of_second))], ["00000", "00001", "00002"])[0]
        assert (found.labels != expected).mean() < 0.01
        assert (found.frame, found.names) == (2, {"object 1": 1, "object 2": 2})
        found = read_masks([str(saved(tmp_path / of_first))], ["00000", "00001", "00002"])[0]
        assert (found.frame, found.names) == (0, {"object 2": 1})  # two parts of one object
        assert found.labels[50, [12, 98]].all()
        assert browser.execute_script("return isUnsaved()")  # the point
        (of_boxes,) = downloads(press("#save-boxes"), "box")
        first, later = BoxPrompt.read_table(saved(tmp_path / of_boxes))
        assert (first.frame, first.objects) == (0, ("object 2", "object 2 2"))
        assert (later.frame, later.objects) == (2, ("object 2",))
        assert later.labels[0] == pytest.approx((90, 30, 40, 50), abs=0.5)
        (of_points,) = downloads(press("#save-points"), "points")
        (points,) = PointPrompt.read_table(saved(tmp_path / of_points))
        assert (points.objects, points.frame) == (("nose",), 2)
        assert points.labels == pytest.approx(np.array([[34, 44]]), abs=0.5)
        assert not browser.execute_script("return isUnsaved()")
        press("[data-tool=box]")
        at(5, 5).click_and_hold().perform()
        at(9, 20).release().perform()
        asks = "return !window.dispatchEvent(new Event('beforeunload', { cancelable: true }))"
        assert browser.execute_script(asks)  # before drawings go
        browser.get(browser.current_url)
        assert not browser.execute_script(asks)
        WebDriverWait(browser, 60).until(lambda opened: opened.find_element("id", "hint").text)
        browser.find_element("id", "load").send_keys(f"{tmp_path / of_second}\n{tmp_path / of_first}")
        WebDriverWait(browser, 60).until(lambda opened: opened.execute_script("return state.objects.length") == 2)
        browser.save_screenshot(str(tmp_path / "page.png"))
        press("#frames button:nth-child(2)")
        (loaded,) = downloads(press("#save-mask"), "mask")
        content = [json.loads(saved(tmp_path / name).read_text()) for name in (loaded, of_second)]
        assert content[0]["shapes"] == content[1]["shapes"]
