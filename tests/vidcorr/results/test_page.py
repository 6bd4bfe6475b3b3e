"""report.html: complete in itself, no text read as markup, and drawn in a real browser."""

import json
import math
import re
import time

import pytest

from tests.helpers.browser import chromium
from tests.helpers.runs import davis_result, write_results
from vidcorr.metrics.declared import fractions
from vidcorr.results.checked import plain
from vidcorr.results.page import write_report
from vidcorr.results.provenance import Provenance
from vidcorr.results.result import Row

HOSTILE = "</script><script>window.hit = 1</script><!--<script><img src=x onerror='window.hit = 2'>"


def content_of(page):
    """Return the JSON that a page draws."""
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page.read_text())
    return json.loads(text)


def test_the_page_holds_the_result_and_its_animations_the_worst_first_with_images_of_the_ends(tmp_path, recorded):
    of_b = {"2": 0.4, "3": math.nan}
    rows = [Row(video="b", object=name, values={"J-Mean": j, "F-Mean": j + 0.05}) for name, j in of_b.items()]
    for number, video in enumerate("abcdefgh"):
        j = math.nan if video == "h" else 0.9 - number / 10
        values = {"J-Mean": j, "F-Mean": j + 0.05, "Category": "cat", "Frames": 5, "Unseen": True}
        rows.append(Row(video=video, object="1" * (video in "bd"), values=values))
        kind = "kind" * (video == "c")
        path = tmp_path / "animations" / kind / video
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".json").write_text(json.dumps({"sequence": video + "_1" * (video == "d"), "kind": kind}))
        path.with_suffix(".webp").write_bytes(video.encode())
    (tmp_path / "animations/a.truth.webp").write_bytes(b"truth")
    (tmp_path / "animations/of an earlier run.json").write_text('{"sequence": "z", "kind": ""}')
    scores = {"J-Mean": 0.575, "J&F-Mean": 0.6, "Other": 0.8125}  # rounded as in the terminal: 81.2
    about = {"sequences": [*"abcefgh", "d_1"], "provenance": Provenance(command=("vidcorr", "a b"))}
    result = davis_result(scores, rows=rows, declared=fractions("J&F-Mean", "J-Mean"), **about)
    content = content_of(write_report(str(tmp_path), result))
    result.save(tmp_path)
    assert content == content_of(write_report(tmp_path))
    shown = content.pop("result")
    assert (shown["scores"], {"rows", "without"} & shown.keys()) == (scores, set())
    assert content.pop("rows") == [{"Sequence": row.name, **plain(row.values)} for row in result.rows]
    scores = {"J-Mean": "57.5", "J&F-Mean": "60.0", "Other": "81.2"}
    assert content.pop("lines") == [{"name": "this run", "scores": scores}]
    texts = content.pop("shown")
    assert (texts[0], texts[1]) == ({"J-Mean": "40.0", "F-Mean": "45.0"}, {"J-Mean": "–", "F-Mean": "–"})
    assert content == recorded
    assert content_of(write_report(tmp_path, davis_result()))["ranked_by"] == ""


# Mistakes and malice


def test_texts_of_data_are_never_markup(tmp_path):
    """No text ends the script element that holds it."""
    pages = []
    for number, name in enumerate(("A", HOSTILE)):
        folder = write_results(tmp_path / str(number), {"J&F-Mean": 0.5}, network=name)
        pages.append(write_report(folder).read_text())
    assert [page.count("window.hit") for page in pages] == [0, 4]
    for markup in ("<script", "</script", "<!--", "<img"):
        assert pages[0].count(markup) == pages[1].count(markup)
    assert not re.search(r"(?:src|href)=|@import|url\((?!data:)", pages[0])  # the page needs nothing else


@pytest.mark.slow
def test_in_a_browser_animations_play_and_tables_sort(davis_run, tmp_path):
    """Its log is free of errors."""
    with chromium(tmp_path) as browser:
        browser.get((davis_run[2] / "report.html").as_uri())
        animation = browser.find_element("css selector", ".animation")
        slider, button = (animation.find_element("css selector", f".controls {kind}") for kind in ("input", "button"))
        before = slider.get_attribute("value")
        button.click()
        assert any(slider.get_attribute("value") != before for _ in (time.sleep(0.1) for _ in range(100)))
        table = browser.find_element("css selector", "table.sortable")
        for head, sign in ((2, -1), (2, 1)):
            table.find_elements("css selector", "th")[head].click()
            cells = table.find_elements("css selector", f"tbody td:nth-child({head + 1})")
            values = [sign * float(cell.get_attribute("data-value")) for cell in cells]
            assert values == sorted(values)
        browser.find_element("css selector", "[value=hidden]").click()
        shown = [animation.find_element("css selector", f".{kind}").is_displayed() for kind in ("prediction", "truth")]
        assert shown == [True, False]
