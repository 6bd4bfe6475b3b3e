"""results.html: comparable rows only, published rows marked, no text read as markup, sorted in a browser."""

import re

import pytest
from markupsafe import escape

from tests.helpers.browser import as_phone, chromium
from tests.helpers.runs import davis_result, write_results
from vidcorr.experiments.table import gather_records
from vidcorr.results import published
from vidcorr.results.page import write_results_page
from vidcorr.results.published import TEST_SETS, Published, protocol_named, published_rows
from vidcorr.results.result import Network, Protocol, Provenance, Stage

HOSTILE = "<script>window.hit = 1</script><img src=x onerror='window.hit = 2'>\""
DAVIS = TEST_SETS["davis"]
PUBLISHED = published_rows()


def write(folder, name, score=0.5, weights="", stage=None, rules=None, **more):
    """Write a result of the whole test set of DAVIS by `vfs`; `more`: seed, recipe, or other fields of the result."""
    facts = {key: value for key, value in DAVIS.items() if key != "sequences"}
    if rules is not None:
        facts["rules"] = rules
    network = Network(name=name, digest=weights, seed=more.pop("seed", None), recipe=more.pop("recipe", ""))
    protocol = Protocol.of(protocol_named("vfs", "davis"))
    stage = stage or Stage(stride=8, protocol=protocol)
    sequences = [str(number) for number in range(DAVIS["sequences"])]
    fields = {"network": network, "stage": stage, "sequences": sequences, "data": facts}
    davis_result({"J&F-Mean": score}, **fields | more).save(folder)


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
    about = {
        "date": "2026-11-25T02:00:00",
        "command": ["vidcorr", "evaluate", "a b"],
        "versions": {"vidcorr": "9.8"},
    }
    rules = {"name": "davis-2017", "source": "S", "digest": "r00l5"}
    folder = write_results(tmp_path / "a", {"J-Mean": 0.55}, "N", "d1", 4, videos, rules=rules, **about)
    (folder / "report.html").touch()
    ((row,),) = tables(write_page())
    texts = ["<b>55.0</b>", "2026-11-25", "<code>vidcorr evaluate &#39;a b&#39;", "davis-2017 r00l5 vidcorr 9.8"]
    texts.append('href="../a/report.html"')
    for text in texts:
        assert text in row
    assert re.search(r'55\.0</b><span class="interval"> \[\d+\.\d, \d+\.\d\]</span>', row)


def test_other_digests_and_other_data_are_other_tables(tmp_path, write_page):
    for name, digest, sequences in (("a", "d1", 8), ("b", "d2", 8), ("c", "d1", 9), ("d", "d1", 8)):
        write_results(tmp_path / name, {"J&F-Mean": 0.5}, f"net-{name}", digest, sequences)
    page = write_page()
    found = [re.findall(r"net-\w", "".join(table)) for table in tables(page)]
    assert [sorted(names) for names in found] == [["net-a", "net-d"], ["net-b"], ["net-c"]]
    assert "protocol digest <code>d1</code>" in page
    assert "protocol digest <code>d2</code>" in page


def test_published_rows_stand_beside_the_whole_test_set_with_their_doubt(tmp_path, write_page):
    write(tmp_path / "a", "ours", 0.6)
    write(tmp_path / "b", "part", limit_sequences=2)
    (beside,) = tables(write_page("a"))
    own = [row for row in PUBLISHED if (row.benchmark, row.protocol) == ("davis", "vfs")]
    assert len(beside) == 1 + len(own)
    for line, row in zip(beside[1:], own, strict=True):
        assert "published</span>" in line
        assert escape(row.name) in line
        assert escape(row.doubt) in line
    ((row,),) = tables(write_page("b"))
    assert "part" in row


def test_seeds_of_one_recipe_are_a_row_and_other_weights_of_a_name_another(tmp_path, write_page):
    for seed in range(3):
        write(tmp_path / str(seed), "N", 0.5, f"weights{seed}", seed=seed, recipe="r")
    write(tmp_path / "again", "N", 0.7, "other", seed=0, recipe="r")
    seeds, again = [row for row in tables(write_page())[0] if "published</span>" not in row]
    assert "0<br>1<br>2" in seeds
    assert "other" in again


def write_hostile(folder, monkeypatch):
    """Write a result whose every text is markup, and make the published rows hostile too."""
    protocol = Protocol(name=HOSTILE, digest=HOSTILE, shared_name=HOSTILE, shared=HOSTILE, fields={HOSTILE: HOSTILE})
    stage = Stage(layer=HOSTILE, stride=8, normalised_by=HOSTILE, protocol=protocol)
    provenance = Provenance(command=("vidcorr", HOSTILE), date=HOSTILE, versions={"vidcorr": HOSTILE})
    about = {"protocol_source": {"code": HOSTILE}, "provenance": provenance}
    write(folder / "x", HOSTILE, 0.5, HOSTILE, stage, {"name": HOSTILE}, **about)
    texts = dict.fromkeys(("name", "source", "weights", "stated", "doubt"), HOSTILE)
    row = Published(**texts, benchmark="davis", protocol="vfs", scores={HOSTILE: 0.5})
    monkeypatch.setattr(published, "published_rows", lambda: (row,))


def test_texts_of_results_and_papers_are_never_markup(tmp_path, monkeypatch, write_page):
    write_hostile(tmp_path, monkeypatch)
    page = write_page()
    assert page.count("<script") == 1  # the page's own
    assert "<img" not in page
    assert page.count(escape(HOSTILE)) > 10
    assert not re.search(r"""(?:src|href)=["'](?!#|\.\./)|@import|url\(""", page)


@pytest.mark.slow
def test_a_browser_sorts_filters_and_copies(tmp_path, monkeypatch, write_page):
    for name, score in (("low", 0.2), ("high", 0.9), ("middle", 0.5)):
        write(tmp_path / name, name, score, provenance=Provenance(command=("vidcorr", name)))
    write_hostile(tmp_path, monkeypatch)
    write(tmp_path / "long", "N" * 500)
    points = {"average_jaccard": 0.3, "average_pts_within_thresh": 0.4}
    write_results(tmp_path / "points", points, benchmark="tap_vid", sequences=5)
    write_page()
    with chromium(tmp_path) as browser:
        browser.get((tmp_path / "page/results.html").as_uri())
        assert browser.execute_script("return window.hit") is None
        first = "return document.querySelector('table.rows tbody tr td').textContent"
        browser.execute_script("document.querySelectorAll('table.rows thead th')[1].click()")
        assert browser.execute_script(first) == "high"
        browser.execute_script("document.querySelectorAll('table.rows thead th')[1].click()")
        assert browser.execute_script(first) == "low"
        browser.find_element("id", "filter").send_keys("vidcorr middle")
        shown = "return document.querySelectorAll('.rows tbody tr:not([hidden])').length"
        assert browser.execute_script(shown) == 1
        (fold,) = [each for each in browser.find_elements("css selector", "td summary") if each.is_displayed()]
        fold.click()
        (button,) = [each for each in browser.find_elements("tag name", "button") if each.is_displayed()]
        button.click()
        browser.execute_async_script("setTimeout(arguments[0], 200)")
        assert button.text == "copied"
        fold.click()
        heights = "return Math.max(...[...document.querySelectorAll('.name')].map(e => e.clientHeight))"
        assert browser.execute_script(heights) < 250
        browser.set_window_size(1280, 900)
        overflowing = (
            "return [...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth).length"
        )
        assert browser.execute_script(overflowing) == 0
        as_phone(browser)
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
