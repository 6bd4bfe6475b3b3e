"""The page of scores: rows of a table are comparable, no text is markup, and a real browser sorts and narrows it."""

import re
from html import unescape
from itertools import product
from urllib.parse import unquote

import pytest

from tests.helpers.browser import chromium, rows_sorted_by_clicks
from tests.helpers.runs import result_on_papers_davis
from vidcorr.cli import main
from vidcorr.results.published import published_rows
from vidcorr.results.rendering import html_tables
from vidcorr.results.result import Result
from vidcorr.results.tabulate import published_table

HOSTILE = "<img src=x onerror='window.hit = 1'></table><script>window.hit = 2</script> a | b"


def stored(folder, protocol="vfs", digest="d", name="A", count=0, **more):
    """Store a result with its report, on the whole test set of DAVIS or some sequences of it."""
    found = result_on_papers_davis(protocol, name, count, **more)
    about = {"digests": dict.fromkeys(found.sequences, digest) if digest else {}}
    about["conditions"] = more.get("conditions", [f"{len(found.sequences)} sequences"])
    found.model_copy(update=about).save(folder)
    (folder / "report.html").touch()


def board(output, *words):
    main(["table", *map(str, words), "--output", str(output)])
    return output.read_text()


def tables_of(page):
    return re.findall("<table>.*?</table>", page)


def test_rows_of_a_table_have_one_protocol_and_one_digest_of_data(tmp_path, davis_run):
    """Own rows by the results beside the reports that they link, published ones by their protocols."""
    kinds = list(product(("vfs", "vfs+topk=5"), ("d", "e", ""), (0, 2)))
    for (protocol, digest, count), name in product(kinds, "AB"):
        stored(tmp_path / f"{protocol} {digest}/{count}{name}", protocol, digest, name, count)
    page = board(tmp_path / "pages/board.html", tmp_path, davis_run[2])
    assert " " not in "".join(re.findall('href="(.*?)"', page))  # links are addresses
    papers = {(row.name, row.source): row for row in published_rows() if row.benchmark == "davis"}
    sizes = []
    for table in tables_of(page):
        folders = [(tmp_path / "pages" / unquote(link)).parent for link in re.findall('href="(.*?)"', table)]
        results = [Result.load(folder) for folder in folders]
        kinds_here = {(each.stage.protocol.shared, each.data_digest, each.on_test_set) for each in results}
        ((protocol, _, is_whole),) = kinds_here
        rows = re.findall('<tr class="published"><td>(.*?)<small>(.*?)[;<]', table)
        for name, source in rows:
            assert papers[unescape(name), unescape(source)].evaluation_protocol().shared().digest() == protocol
        assert bool(rows) is (is_whole and "+" not in results[0].stage.protocol.name)
        sizes.append(len(results))
    assert sorted(sizes) == [1] + len(kinds) * [2]


def test_texts_of_data_are_never_markup(tmp_path):
    stored(tmp_path / "a", doubts=[HOSTILE], name=HOSTILE, benchmark="davis", conditions=[HOSTILE])
    page = board(tmp_path / "board.html", tmp_path)
    assert page.count("window.hit") == 6
    assert page.count("<script") == 1
    assert "<img" not in page
    assert not re.search(r"(?:src)=\"|@import|url\(", page)  # the page needs nothing else


def test_every_published_row_has_a_line_with_its_own_scores_source_and_doubt():
    """Two sources print other scores of one network by one protocol: neither replaces the other."""
    tables = html_tables(published_table())
    lines = []
    for shared, table in tables.items():
        for name, about in re.findall('<tr class="published"><td>(.*?)<small>(.*?)</small>', table):
            lines.append((shared.benchmark, shared.protocol, unescape(name), unescape(about)))
    wanted = []
    for row in published_rows():
        about = "; ".join(filter(None, (row.source, row.doubt)))
        wanted.append((row.benchmark, row.evaluation_protocol().shared().digest(), row.name, " ".join(about.split())))
    assert sorted(lines) == sorted(wanted)
    page = "".join(tables.values())
    assert "12.64" in page
    assert "12.51" in page


@pytest.mark.slow
def test_in_a_browser_a_click_sorts_and_a_narrow_screen_does_not_scroll_sideways(tmp_path, davis_run):
    stored(tmp_path / "a", name="a long-name-without-a-place-to-break/" * 5)
    board(tmp_path / "board.html", tmp_path, davis_run[2])
    with chromium(tmp_path) as browser:
        browser.get((tmp_path / "board.html").as_uri())
        assert rows_sorted_by_clicks(browser, "th:nth-child(2)") > 3
        phone = {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": True}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
        assert browser.execute_script("return [innerWidth, document.documentElement.scrollWidth]") == [400, 400]
        browser.find_element("css selector", "a").click()
        assert browser.current_url.endswith("report.html")
