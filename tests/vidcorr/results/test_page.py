"""report.html: complete in itself, with the run's own numbers, and drawn in a real browser."""

import json
import re
import shutil
import time
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from PIL import Image

from tests.helpers.benchmark_data import arguments_of, benchmark_classes
from tests.helpers.browser import chromium
from tests.helpers.masks import read_masks
from tests.helpers.runs import davis_result, write_results
from tests.helpers.words import SMALL
from vidcorr import DavisBenchmark, MatchBenchmark
from vidcorr.backbones import build_feature_extractor
from vidcorr.metrics import boundary_accuracy, region_similarity
from vidcorr.results.page import scores_by_sequence, write_report
from vidcorr.results.pictures.animations import overlay_masks_small
from vidcorr.results.result import Result, Row

HOSTILE = "</script><script>window.hit = 1</script><!--<script><img src=x onerror='window.hit = 2'>"


def content_of(page):
    """Return the JSON that a page draws."""
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page.read_text())
    return json.loads(text)


# What is in the page


def test_the_page_needs_nothing_else_and_holds_the_run(davis_run):
    benchmark, scores, folder = davis_run
    source, content = (folder / "report.html").read_text(), content_of(folder / "report.html")
    assert not re.search(r"(?:src|href)=|@import|url\((?!data:)", source)
    assert content["result"]["scores"] == pytest.approx(scores)
    assert content["result"]["stage"]["protocol"]["digest"] == benchmark.protocol.digest()
    assert content["result"]["protocol_source"]["code"].startswith("xvjiarui/VFS @ 8e055cc")
    assert content["main"] == ["J&F-Mean", "J-Mean", "F-Mean"]
    assert content["intervals"] == {}  # three sequences give no interval
    assert [len(animation["images"]) for animation in content["animations"]] == [2, 2, 2]
    ranks = [animation["score"] for animation in content["animations"]]
    assert ranks == sorted(ranks)


def test_animations_hold_predictions_truth_and_curves(davis_run):
    benchmark, _, folder = davis_run
    sequence = benchmark.sequences[1]
    animation = json.loads((folder / "animations" / f"{sequence.name}.json").read_text())
    width, height = animation["size"]
    assert animation["frames"] == list(range(sequence.num_frames))
    predicted = read_masks(folder / "predictions" / sequence.name)
    truth = [sequence.read_mask(t) for t in range(sequence.num_frames)]
    for suffix, masks in (("webp", predicted), ("truth.webp", truth)):
        sheet = np.asarray(Image.open(folder / "animations" / f"{sequence.name}.{suffix}").convert("RGB")).astype(int)
        assert sheet.shape == (height, width * sequence.num_frames, 3)
        for t, mask in enumerate(masks):
            expected = overlay_masks_small(sequence.frame(t), mask)
            assert np.abs(sheet[:, t * width : (t + 1) * width] - expected).mean() < 12  # what the compression loses
    for name, measure in (("J", region_similarity), ("F", boundary_accuracy)):
        places, values = animation["curves"][name]
        assert places == list(range(1, sequence.num_frames - 1))
        of_objects = [measure(predicted == i, torch.stack(truth) == i)[1:-1] for i in sequence.objects]
        assert values == pytest.approx(torch.stack(of_objects).mean(0).tolist(), abs=1e-4)


def test_sequences_have_the_means_of_the_ranking_columns():
    nan = float("nan")
    values = [("1", 0.2, 0.4), ("12", 0.6, nan), ("x", 0.1, 0.1)]
    rows = [Row(video="bike", object=number, values={"J-Mean": j, "F-Mean": f}) for number, j, f in values]
    assert scores_by_sequence(davis_result(rows=rows, sequences=["bike"])) == {"bike": pytest.approx(1.4 / 5)}


def test_animations_of_an_earlier_run_in_the_same_folder_are_left_out(davis_run, tmp_path):
    again = shutil.copytree(davis_run[2], tmp_path / "again")
    Result.load(again).model_copy(update={"sequences": ("synthetic-001",)}).save(again)
    assert [animation["sequence"] for animation in content_of(write_report(again))["animations"]] == ["synthetic-001"]


def test_from_four_sequences_on_scores_have_intervals(davis_run, tmp_path):
    own = shutil.copytree(davis_run[2], tmp_path / "own")
    result = Result.load(own)
    more = [row.model_copy(update={"video": f"again-{row.video}"}) for row in result.rows]
    content = content_of(write_report(own, result.model_copy(update={"rows": (*result.rows, *more)})))
    assert list(content["intervals"]) == content["main"]
    assert all(re.fullmatch(r"\[\d+\.\d, \d+\.\d\]", text) for text in content["intervals"].values())


@pytest.mark.slow
@pytest.mark.parametrize("kind", benchmark_classes(), ids=lambda kind: kind.__name__)
def test_every_benchmark_writes_one(kind, tmp_path):
    benchmark = kind(**arguments_of(kind, tmp_path / "data"))
    benchmark.evaluate("raw_colour", tmp_path / "run")
    content = content_of(tmp_path / "run" / "report.html")
    names = [sequence.name for sequence in benchmark.sequences]
    assert content["result"]["sequences"] == names
    animated = {animation["sequence"] for animation in content["animations"]}
    assert animated == (set() if issubclass(kind, MatchBenchmark) else set(names))
    assert all(animation["caption"] for animation in content["animations"])


# Mistakes and malice


@pytest.mark.slow
def test_a_page_that_cannot_be_written_takes_nothing_away(davis_root, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("vidcorr.benchmarks.output.write_report", Mock(side_effect=RuntimeError("no template")))
    benchmark = DavisBenchmark(davis_root, changes=SMALL, limit_sequences=1)
    (tmp_path / "report.html").write_text("of an earlier run")
    scores = benchmark.evaluate(build_feature_extractor("raw_colour"), tmp_path).scores
    assert Result.load(tmp_path).scores == scores
    assert not (tmp_path / "report.html").exists()
    assert "davis: report.html could not be written: no template" in caplog.text


def test_texts_of_data_are_never_markup(tmp_path):
    """No text ends the script element that holds it."""
    pages = [
        write_report(write_results(tmp_path / str(number), {"J&F-Mean": 0.5}, network=name)).read_text()
        for number, name in enumerate(("A", HOSTILE))
    ]
    assert [page.count("window.hit") for page in pages] == [0, 4]
    for markup in ("<script", "</script", "<!--", "<img"):
        assert pages[0].count(markup) == pages[1].count(markup)


# In a browser


@pytest.mark.slow
def test_in_a_browser_animations_play_and_tables_sort(davis_run, tmp_path):
    folder = shutil.copytree(davis_run[2], tmp_path / "own")
    with chromium(tmp_path) as browser:
        browser.get(write_report(folder).as_uri())

        def texts(selector):
            return [each.text for each in browser.find_elements("css selector", selector)]

        assert browser.title.startswith("davis: J&F-Mean ")
        assert texts("tr.this td")[1] == f"{100 * davis_run[1]['J&F-Mean']:.1f}"
        assert "raw <colour>" in texts("header p")[0]
        assert not [text for text in texts(".note") if "could not be drawn" in text]

        animation = browser.find_element("css selector", ".animation")
        slider, button = (animation.find_element("css selector", f".controls {kind}") for kind in ("input", "button"))
        before = slider.get_attribute("value")
        button.click()
        assert any(slider.get_attribute("value") != before for _ in (time.sleep(0.1) for _ in range(100)))
        script = "return [...arguments[0].querySelectorAll('.screen')].map(each => each.style.backgroundPosition)"
        places = browser.execute_script(script, animation)
        assert len(places) == 2
        assert places[0] == places[1]
        worst = animation.find_element("css selector", ".worst button")
        worst.click()
        assert animation.find_element("css selector", "output").text == f"frame {worst.text.partition(':')[0]}"
        assert button.get_attribute("aria-label") == "play"

        table = browser.find_element("css selector", "table.sortable")
        for head, sign in ((2, -1), (2, 1)):
            table.find_elements("css selector", "th")[head].click()
            cells = table.find_elements("css selector", f"tbody td:nth-child({head + 1})")
            values = [sign * float(cell.get_attribute("data-value")) for cell in cells]
            assert values == sorted(values)

        browser.find_element("css selector", "[value=hidden]").click()
        shown = [animation.find_element("css selector", f".{kind}").is_displayed() for kind in ("prediction", "truth")]
        assert shown == [True, False]
