"""`vidcorr table`: numbers of one column share benchmark, data and protocol to the last value."""

import csv
import json

import pytest

from callbacks.report.published import PUBLISHED, published_beside
from callbacks.tools.table import gather, render
from cli import main


def write(folder, network, scores, digest="d1", benchmark="davis", **more):
    folder.mkdir(parents=True)
    about = {"protocol": {"name": "vfs", "digest": digest}, "sequences": 8, **more}
    content = {"benchmark": benchmark, "scores": scores, "network": network, **about}
    (folder / "results.json").write_text(json.dumps(content))
    return folder


CHANGED = {"name": "vfs+radius=6", "digest": "d"}


def test_digests_and_data_are_never_mixed(tmp_path):
    write(tmp_path / "a", "A", {"J&F-Mean": 0.5, "J-Mean": 0.4})
    write(tmp_path / "b", "B", {"J&F-Mean": 0.6}, digest="d2")
    write(tmp_path / "c", "C", {"J&F-Mean": 0.7}, sequences=30)
    write(tmp_path / "d", "D", {"J&F-Mean": 0.8})
    write(tmp_path / "e", "A", {"mIoU": 0.3}, benchmark="vip")
    table = gather([tmp_path])
    assert [(column.benchmark, column.digest, column.data) for column in table.columns] == [
        ("davis", "d1", "8 sequences"),
        ("davis", "d2", "8 sequences"),
        ("davis", "d1", "30 sequences"),
        ("vip", "d1", "8 sequences"),
    ]
    first, second, third, vip = table.columns
    assert table.rows == {"A": {first: 0.5, vip: 0.3}, "B": {second: 0.6}, "C": {third: 0.7}, "D": {first: 0.8}}


def test_rows_of_one_name_are_told_apart_and_stages_are_rows(tmp_path):
    for seed in (0, 1):
        write(tmp_path / f"seed{seed}", "A", {"res4/J&F-Mean": seed / 10, "res5/J&F-Mean": seed / 5, "res4/J-Mean": 1})
    rows = gather([tmp_path / "seed0", tmp_path], ["J&F-Mean"]).rows
    assert [name.replace(str(tmp_path), "") for name in rows] == [
        "A, res4 (/seed0)", "A, res5 (/seed0)", "A, res4 (/seed1)", "A, res5 (/seed1)"
    ]  # fmt: skip


def test_the_three_formats(tmp_path, capsys):
    write(tmp_path / "a", "A_1 | x", {"J&F-Mean": 0.51239})
    write(tmp_path / "b", "B", {"J&F-Mean": 0.25, "J-Mean": 0.5})
    out = [tmp_path / name for name in ("t.md", "t.csv", "t.tex")]
    main(["table", str(tmp_path), "--score", "J&F-Mean", "--score", "J-Mean", "--output", *map(str, out)])
    assert capsys.readouterr().out == out[0].read_text()
    assert out[0].read_text() == (
        "|  | davis J&F-Mean (vfs d1, 8 sequences) | davis J-Mean (vfs d1, 8 sequences) |\n| --- | ---: | ---: |\n"
        "| A_1 \\| x | 51.2 |  |\n| B | 25.0 | 50.0 |\n"
    )
    assert list(csv.reader(out[1].open()))[1:] == [["A_1 | x", "0.51239", ""], ["B", "0.25", "0.5"]]
    assert r"A\_1 | x & 51.2 &  \\" in out[2].read_text()
    assert r"davis J\&F-Mean (vfs d1, 8 sequences)" in out[2].read_text()


def test_published_rows_stand_beside_their_own_protocol_only(tmp_path):
    ours = write(tmp_path / "a", "A", {"J&F-Mean": 0.5}, sequences=30)
    other = write(
        tmp_path / "b", "B", {"J&F-Mean": 0.5}, sequences=30, protocol={"name": "vfs+radius=6", "digest": "d"}
    )
    rows = gather([ours], published=True).rows
    assert {round(value, 3) for name, row in rows.items() if name != "A" for value in row.values()} == {0.667, 0.679}
    assert list(gather([other], published=True).rows) == ["B"]
    assert "Table 7" in render(gather([ours], published=True), "md")


def test_published_rows_have_sources_and_uncertain_ones_stay_away():
    assert all(row.source and all(0 < value < 1 for value in row.scores.values()) for row in PUBLISHED)
    for row in PUBLISHED:
        found = published_beside(
            {
                "benchmark": row.benchmark,
                "sequences": {"davis": 30, "jhmdb": 268, "vip": 50, "otb": 100}[row.benchmark],
                "protocol": {"name": row.protocol},
            }
        )
        assert (row in found) == row.certain


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "nowhere: no results.json"),
        (["a", "--score", "J"], "no result has the score J; there are J&F-Mean"),
        (["unscored"], "unscored/results.json has no scores"),
        (["a", "--output", "x.doc"], "the name has to end in .md, .csv or .tex"),
        (["bad"], "is not a results.json of a benchmark"),
    ],
)
def test_mistakes_are_one_line(tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a", "A", {"J&F-Mean": 0.5})
    write(tmp_path / "unscored", "A", {})
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/results.json").write_text("[]")
    with pytest.raises(SystemExit) as ended:
        main(["table", *words])
    assert message in ended.value.code
    assert "\n" not in ended.value.code
