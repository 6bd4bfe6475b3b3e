"""Films, their ground truth, objects and worst frames; in a real browser too."""

import base64
import io
import re
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from callbacks.pictures import overlay_masks
from callbacks.pictures.film import Film, reduced
from callbacks.report import write_report
from callbacks.report.films import worst_indices
from tests.helpers.browser import as_phone, chromium, in_dark_mode
from tests.helpers.page import Page


@pytest.mark.parametrize("seed", range(20))
def test_the_worst_frames_are_apart_and_have_the_lowest_means(seed: int) -> None:
    """Brute force: greedy from the lowest mean, of the frames that have a value on every curve."""
    draw = np.random.default_rng(seed)
    frames = sorted(draw.choice(40, 12, replace=False).tolist())
    curves = {
        name: [sorted(draw.choice(40, 30, replace=False).tolist()), [*map(float, draw.random(30))]] for name in "JF"
    }
    curves["J"][1][3] = None
    values = {}
    for place, t in enumerate(frames):
        found = [dict(zip(*curve, strict=True)).get(t) for curve in curves.values()]
        if None not in found:
            values[place] = sum(found) / 2
    expected: list[int] = []
    while len(expected) < 3:
        free = [place for place in values if all(abs(place - other) > 1 for other in expected)]
        if not free:
            break
        expected.append(min(free, key=lambda place: values[place]))
    found_places = worst_indices({"frames": frames, "curves": curves})
    assert [place for place, _ in found_places] == expected
    assert [value for _, value in found_places] == pytest.approx([values[place] for place in expected])
    assert worst_indices({"frames": frames, "curves": {}}) == []


def test_ground_truth_lies_beside_the_film(run: Any) -> None:
    benchmark, _, folder = run
    sequence = benchmark.sequences[0]
    size = Image.open(folder / "films" / f"{sequence.name}.webp").size
    truth = np.asarray(Image.open(folder / "films" / f"{sequence.name}.truth.webp").convert("RGB")).astype(int)
    assert truth.shape[1::-1] == size
    for t in range(sequence.num_frames):
        expected = overlay_masks(*reduced(sequence.frame(t), sequence.mask(t)))
        width = expected.shape[1]
        assert np.abs(truth[: expected.shape[0], t * width : (t + 1) * width] - expected).mean() < 12


def test_a_film_without_any_truth_has_no_second_picture(tmp_path: Path) -> None:
    film = Film(tmp_path, "walk", 2)
    film.add(np.zeros((4, 4, 3), np.uint8))
    film.add(np.zeros((4, 4, 3), np.uint8))
    film.close()
    assert [path.name for path in sorted((tmp_path / "films").iterdir())] == ["walk.json", "walk.webp"]


def test_objects_have_their_colours_and_scores(run: Any) -> None:
    _, _, folder = run
    page = Page(folder / "report.html")
    assert page.counts["truth"] == 3
    assert page.counts["switch"] == 1
    rows = (folder / "per_sequence.csv").read_text().splitlines()
    heading = rows[0].split(",")
    for row in rows[1:]:
        cells = dict(zip(heading, row.split(","), strict=True))
        score = 50 * (float(cells["J-Mean"]) + float(cells["F-Mean"]))
        assert f"{cells['Sequence'].rpartition('_')[2]}: {score:.1f}" in page.text
    assert "background:rgb(128,0,0)" in page.source  # object 1, as the masks of DAVIS have it


def test_worst_frames_are_pictures_of_prediction_and_truth(run: Any) -> None:
    benchmark, _, folder = run
    page = Page(folder / "report.html")
    assert page.counts["worst"] == len(benchmark.sequences)
    assert page.counts["shot"] >= len(benchmark.sequences)
    packed = re.findall(r'class="picture" style="[^"]*base64,([^)]+)\)', page.source)
    assert len(packed) == page.counts["shot"]
    size = Image.open(io.BytesIO(base64.b64decode(packed[0]))).size
    sequence = benchmark.sequences[0]
    assert size == (640, round(320 * sequence.size[0] / sequence.size[1]))


def test_without_ground_truth_there_is_no_switch(run: Any, tmp_path: Path) -> None:
    folder = shutil.copytree(run[2], tmp_path / "copy")
    for path in folder.rglob("*.truth.webp"):
        path.unlink()
    page = Page(write_report(folder))
    assert "switch" not in page.counts
    assert page.counts["film"] == 3
    assert "next to its ground truth" not in page.text


@pytest.mark.slow
def test_in_a_browser_films_play_tables_sort_and_pictures_enlarge(run: Any, tmp_path: Path) -> None:
    with chromium(tmp_path) as browser:
        browser.get((run[2] / "report.html").as_uri())
        film = browser.find_element("css selector", ".film")
        slider, button = (
            film.find_element("css selector", "input"),
            film.find_element("css selector", ".controls button"),
        )
        before = slider.get_attribute("value")
        button.click()
        waited = (time.sleep(0.1) for _ in range(100))
        assert any(slider.get_attribute("value") != before for _ in waited)
        places = browser.execute_script(
            "return [...arguments[0].querySelectorAll('.screen')].map(each => each.style.backgroundPosition)", film
        )
        assert len(places) == 2
        assert places[0] == places[1]
        button.click()
        assert button.get_attribute("aria-label") == "play"

        table = browser.find_element("css selector", "table.sortable")
        for head, sign in ((2, -1), (2, 1)):
            table.find_elements("css selector", "th")[head].click()
            cells = table.find_elements("css selector", f"tbody td:nth-child({head + 1})")
            values = [sign * float(cell.get_attribute("data-value")) for cell in cells]
            assert values == sorted(values)

        def shown() -> list[bool]:
            return [film.find_element("css selector", f".{kind}").is_displayed() for kind in ("prediction", "truth")]

        def widths() -> list[int]:
            return [film.find_element("css selector", f".{kind}").size["width"] for kind in ("prediction", "truth")]

        assert shown() == [True, True]
        full = widths()[0]
        browser.find_element("css selector", "[value=beside]").click()
        assert shown() == [True, True]
        assert widths() == pytest.approx([full / 2] * 2, abs=4)
        browser.find_element("css selector", "[value=hidden]").click()
        assert shown() == [True, False]

        shot, dialog = (browser.find_element("css selector", each) for each in (".shot", "dialog.large"))
        assert not dialog.is_displayed()
        browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", shot)
        shot.click()
        assert dialog.is_displayed()
        assert dialog.find_element("css selector", "p").text == shot.get_attribute("aria-label")
        dialog.click()
        assert not dialog.is_displayed()


@pytest.mark.slow
def test_on_a_phone_and_in_the_dark(run: Any, tmp_path: Path) -> None:
    with chromium(tmp_path) as browser:
        as_phone(browser)
        in_dark_mode(browser)
        browser.get((run[2] / "report.html").as_uri())
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
        ground, ink = (
            [
                int(value)
                for value in re.findall(
                    r"\d+", browser.execute_script(f"return getComputedStyle(document.body).{name}")
                )
            ]
            for name in ("backgroundColor", "color")
        )
        assert max(ground[:3]) < 60
        assert min(ink[:3]) > 180
        score = browser.find_element("css selector", "tr.this td:nth-child(2)")
        assert score.location["x"] + score.size["width"] <= 390  # seen without moving the table
