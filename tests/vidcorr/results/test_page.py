"""report.html and results.html: complete in themselves, no text read as markup, and drawn in a real browser."""

import json
import math
import re
import time

import pytest
from markupsafe import escape

from tests.helpers.browser import chromium
from tests.helpers.runs import davis_result, write_results
from vidcorr.experiments.table import gather_records
from vidcorr.results import published
from vidcorr.results.page import write_report, write_results_page
from vidcorr.results.provenance import Provenance
from vidcorr.results.published import Published, protocol_named, published_rows, sets_of_papers
from vidcorr.results.result import Network, Protocol, Row, Stage

MARKUP = "<script>window.hit = 1</script><img src=x onerror='window.hit = 2'>\""
DAVIS = dict(sets_of_papers()["davis"])
COUNT = DAVIS.pop("sequences")
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
    scores = {"J-Mean": 0.6, "J&F-Mean": 0.625, "Other": 0.5}
    about = {"sequences": [*"abcefgh", "d_1"], "provenance": Provenance(command=("vidcorr", "a b"))}
    result = davis_result(scores, rows=rows, headline=["J&F-Mean", "J-Mean"], **about)
    content = content_of(write_report(str(tmp_path), result))
    result.save(tmp_path)
    assert content == content_of(write_report(tmp_path))
    shown = content.pop("result")
    assert (shown["scores"], {"rows", "without"} & shown.keys()) == (scores, set())
    assert content.pop("rows") == result.records()
    assert content == recorded
    assert content_of(write_report(tmp_path, davis_result()))["ranked_by"] == []


# Mistakes and malice


def test_texts_of_data_are_never_markup(tmp_path):
    """No text ends the script element that holds it."""
    pages = [
        write_report(write_results(tmp_path / str(number), {"J&F-Mean": 0.5}, network=name)).read_text()
        for number, name in enumerate(("A", HOSTILE))
    ]
    assert [page.count("window.hit") for page in pages] == [0, 4]
    for markup in ("<script", "</script", "<!--", "<img"):
        assert pages[0].count(markup) == pages[1].count(markup)
    assert not re.search(r"(?:src|href)=|@import|url\((?!data:)", pages[0])  # the page needs nothing else


# results.html


def write_measured(folder, name, score=0.5, **fields):
    """Write a result of the whole test set of DAVIS by `vfs`; `fields`: others of the result."""
    stage = Stage(stride=8, protocol=Protocol.of(protocol_named("vfs", "davis")))
    about = {"network": Network(name=name), "stage": stage, "data": DAVIS, "sequences": [f"{n}" for n in range(COUNT)]}
    davis_result({"J&F-Mean": score}, **about | fields).save(folder)


@pytest.fixture
def write_page(tmp_path):
    def page(*names):
        records = gather_records([tmp_path / name for name in names] or [tmp_path])
        return write_results_page(records, tmp_path / "page").read_text()

    return page


def tables(page):
    """Return the tables of scores, each as a list of rows, each as its HTML."""
    found = re.findall(r'<table class="rows">.*?<tbody>(.*?)</tbody>', page, re.DOTALL)
    return [re.findall(r"<tr.*?</tr>", table, re.DOTALL) for table in found]


def test_a_row_holds_what_a_stranger_checks(tmp_path, write_page):
    videos = {"J-Mean": {name: [value] for name, value in zip("abcd", (0.4, 0.5, 0.6, 0.7), strict=True)}}
    about = {"date": "2026-11-25T02:00:00", "command": ["vidcorr", "evaluate", "a b"], "versions": {"vidcorr": "9.8"}}
    rules = {"name": "davis-2017", "source": "S", "digest": "r00l5"}
    folder = write_results(tmp_path / "a", {"J-Mean": 0.55}, "N", "d1", 4, videos, rules=rules, **about)
    (folder / "report.html").touch()
    ((row,),) = tables(write_page())
    texts = ["<b>55.0</b>", "2026-11-25", "<code>vidcorr evaluate &#39;a b&#39;", "davis-2017 r00l5 vidcorr 9.8"]
    texts.append('href="../a/report.html"')
    for text in texts:
        assert text in row
    assert re.search(r'55\.0</b> <span class="interval">\[\d+\.\d, \d+\.\d\]</span>', row)


def test_other_digests_and_other_data_are_other_tables(tmp_path, write_page):
    for name, digest, sequences in (("a", "d1", 8), ("b", "d2", 8), ("c", "d1", 9), ("d", "d1", 8)):
        write_results(tmp_path / name, {"J&F-Mean": 0.5}, f"net-{name}", digest, sequences)
    page = write_page()
    found = [re.findall(r"net-\w", "".join(table)) for table in tables(page)]
    assert [sorted(names) for names in found] == [["net-a", "net-d"], ["net-b"], ["net-c"]]
    for text in ("protocol digest <code>d1</code>", "protocol digest <code>d2</code>", "jackknife over sequences"):
        assert text in page


def test_published_rows_stand_beside_the_whole_test_set_with_their_doubt(tmp_path, write_page):
    write_measured(tmp_path / "b", "part", limit_sequences=2)
    own = [row for row in published_rows() if (row.benchmark, row.protocol) == ("davis", "vfs")]
    write_measured(tmp_path / "a", own[0].name, 0.6)  # a name that a row of a paper has too
    page = write_page("a")
    assert re.findall(r'<th scope="col">(.)(?:&amp;F)?-Mean', page) == ["J", "J", "F"]
    (beside,) = tables(page)
    assert len(beside) == 1 + len(own)
    for line, row in zip(beside[1:], own, strict=True):
        assert "published</span>" in line
        assert escape(row.name) in line
        assert escape(row.doubt) in line
    ((row,),) = tables(write_page("b"))
    assert "part" in row


def write_hostile(folder, monkeypatch):
    """Write a result whose every text is markup, and make the published rows hostile too."""
    protocol = Protocol(name=MARKUP, digest=MARKUP, shared_name=MARKUP, shared=MARKUP, fields={MARKUP: MARKUP})
    stage = Stage(layer=MARKUP, stride=8, normalised_by=MARKUP, protocol=protocol)
    provenance = Provenance(command=("vidcorr", MARKUP), date=MARKUP, versions={"vidcorr": MARKUP})
    about = {"network": Network(name=MARKUP, digest=MARKUP), "data": DAVIS | {"rules": {"name": MARKUP}}}
    about |= {"stage": stage, "protocol_source": {"code": MARKUP}, "provenance": provenance}
    write_measured(folder / "x", MARKUP, **about)
    texts = dict.fromkeys(("name", "source", "weights", "stated", "doubt"), MARKUP)
    row = Published(**texts, benchmark="davis", protocol="vfs", scores={MARKUP: 0.5})
    monkeypatch.setattr(published, "published_rows", lambda: (row,))


def test_texts_of_results_and_papers_are_never_markup(tmp_path, monkeypatch, write_page):
    write_hostile(tmp_path, monkeypatch)
    page = write_page()
    assert page.count("<script") == 1  # the page's own
    assert "<img" not in page
    assert page.count(escape(MARKUP)) > 10
    assert not re.search(r"""(?:src|href)=["'](?!#|\.\./)|@import|url\(""", page)


@pytest.mark.slow
def test_in_a_browser_animations_play_and_tables_sort_and_filter(davis_run, tmp_path, monkeypatch, write_page):
    """Its log is free of errors."""
    for name, score in (("low", 0.2), ("high", 0.9), ("middle", 0.5)):
        write_measured(tmp_path / name, name, score, provenance=Provenance(command=("vidcorr", name)))
    write_hostile(tmp_path, monkeypatch)
    write_page()
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

        browser.get((tmp_path / "page/results.html").as_uri())
        assert browser.execute_script("return window.hit") is None
        first = "return document.querySelector('table.rows tbody tr td').textContent"
        for expected in ("high", "low"):
            browser.execute_script("document.querySelectorAll('table.rows thead th')[1].click()")
            assert browser.execute_script(first) == expected
        browser.find_element("id", "filter").send_keys("vidcorr middle")
        shown = "return document.querySelectorAll('.rows tbody tr:not([hidden])').length"
        assert browser.execute_script(shown) == 1
        (fold,) = [each for each in browser.find_elements("css selector", "td summary") if each.is_displayed()]
        fold.click()
        (button,) = [each for each in browser.find_elements("tag name", "button") if each.is_displayed()]
        button.click()
        browser.execute_async_script("setTimeout(arguments[0], 200)")
        assert button.text == "copied"
