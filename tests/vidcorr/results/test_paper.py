"""Tables as papers print them."""

from dataclasses import replace

import pytest

from cli import main
from tests.helpers.refusal import refused
from tests.helpers.runs import davis_result, write_results
from tests.helpers.words import refusal
from vidcorr.experiments.table import gather_results
from vidcorr.results.paper import paper_table
from vidcorr.results.records import records_of
from vidcorr.results.result import Network, Protocol, Row, Stage
from vidcorr.results.tables import Cell, tabulate
from vidcorr.results.text_tables import latex_text

SCORES = {"J&F-Mean": 0.66, "J-Mean": 0.6, "F-Mean": 0.72}
VFS = Protocol(name="vfs", digest="d1", shared_name="vfs", shared="d1")


def write(folder, name, shift=0.0, stride=8, layer="", **more):
    """Write a result of eight sequences."""
    videos = {str(n): [0.6 + shift + 0.01 * n] for n in range(8)}
    columns = {"J-Mean": videos, "F-Mean": {video: [value + 0.1 for value in videos[video]] for video in videos}}
    scores = {key: value + shift for key, value in SCORES.items()}
    stage = Stage(layer=layer, stride=stride, protocol=VFS)
    write_results(folder, scores, **{"network": name, "sequences": 8, "videos": columns, "stage": stage} | more)


def printed(folder, *words, capsys):
    main(["table", str(folder), "--paper", *words])
    return capsys.readouterr().out


def test_heads_rows_and_caption_are_short(tmp_path, capsys):
    write(tmp_path / "a", "last.ckpt", layer="res4")
    write(tmp_path / "b", "vfs-r18", 0.1, layer="res4")
    caption, _, head, _, first, second = printed(tmp_path, "--name", "last.ckpt=Ours", capsys=capsys).splitlines()
    assert head == "|  | davis J&F | davis J | davis F |"
    assert first == "| Ours | 66.0 | 60.0 | 72.0 |"
    assert second == "| vfs-r18 | **76.0** | **70.0** | **82.0** |"
    assert caption == "Scores in per cent. davis, 8 sequences: protocol vfs. Features: res4, stride 8."


def test_features_that_differ_stand_in_the_row_but_for_a_renamed_one(tmp_path, capsys):
    write(tmp_path / "a", "A", layer="res4")
    write(tmp_path / "b", "B", layer="res5")
    write(tmp_path / "c", "C", stride=4)
    text = printed(tmp_path, "--name", "B=Ours", "--score", "J-Mean", capsys=capsys)
    rows = [line.split("|")[1].strip() for line in text.splitlines()[4:]]
    assert rows == ["A (res4, stride 8)", "Ours", "C (stride 4)"]
    assert "Features" not in text


def test_seeds_and_intervals(tmp_path, capsys):
    for seed in (0, 1):
        write(tmp_path / f"run{seed}", "A", 0.02 * seed, network_seed=seed, recipe="r")
    plain = printed(tmp_path, capsys=capsys)
    assert "| A | 67.0 ± 1.4 | 61.0 ± 1.4 | 73.0 ± 1.4 |" in plain
    assert "standard deviation over seeds" in plain
    text = printed(tmp_path, "--intervals", capsys=capsys)
    assert "| A | 67.0 ± 1.4 [" in text
    assert "95 % intervals" in text


@pytest.mark.parametrize("format", ["tex", "latex"])
def test_latex(format, tmp_path, capsys):
    write(tmp_path / "a", "my_net & co")
    write(tmp_path / "b", "B", 0.1)
    text = printed(tmp_path, "--format", format, capsys=capsys)
    assert r" & \multicolumn{3}{c}{davis} \\" in text
    assert r"\cmidrule(lr){2-4}" in text
    assert r" & $\mathcal{J}\&\mathcal{F}$ & $\mathcal{J}$ & $\mathcal{F}$ \\" in text
    assert r"my\_net \& co & 66.0 & 60.0 & 72.0 \\" in text
    assert r"B & \textbf{76.0} & \textbf{70.0} & \textbf{82.0} \\" in text
    assert r"\caption{Scores in per cent. davis, 8 sequences: protocol vfs. Features: stride 8.}" in text
    main(["table", str(tmp_path), "--format", format])
    assert capsys.readouterr().out.startswith(r"\begin{tabular}")


def test_several_protocols_stand_over_their_columns(tmp_path):
    write(tmp_path / "a", "A")
    crw = Protocol(name="crw", digest="d2", shared_name="crw", shared="d2")
    write(tmp_path / "b", "A", stage=Stage(stride=8, protocol=crw))
    table = gather_results([tmp_path], ["J-Mean"])
    text = paper_table(table, {})
    head = text.splitlines()[2]
    assert "davis (vfs d1, 8 sequences) J" in head
    assert "davis (crw d2, 8 sequences) J" in head
    assert "davis, 8 sequences: protocol crw." in text


def test_mistakes(tmp_path):
    write(tmp_path / "a", "A")
    write(tmp_path / "b", "B")
    table = gather_results([tmp_path])
    refused(ValueError, "--name C: no such row; the rows are A; B", paper_table, table, {"C": "Ours"})
    refused(ValueError, "two rows are called 'Ours'", paper_table, table, {"A": "Ours", "B": "Ours"})
    assert "belong to --paper" in refusal("table", tmp_path, "--intervals")
    assert "write SPEC=NAME" in refusal("table", tmp_path, "--paper", "--name", "A")
    assert "prints Markdown or LaTeX" in refusal("table", tmp_path, "--paper", "--format", "csv")


def test_sets_of_sequences_of_one_size_have_different_heads():
    records = []
    for name, sequences in (("a", ["x", "y"]), ("b", ["z", "w"])):
        rows = [Row(video=video, values={"J&F-Mean": 0.5}) for video in sequences]
        scores = {"J&F-Mean": 0.5}
        records += records_of(davis_result(scores, network=Network(name=name), rows=rows, sequences=sequences))
    _, _, head, *_ = paper_table(tabulate(records), {}).splitlines()
    first, second = head.strip("| ").split(" | ")
    assert first != second
    assert first.startswith("davis (2 sequences ")


@pytest.mark.parametrize(
    ("row", "name"),
    [("N", "Ours (tau=0.1)"), ("run=3/last.ckpt", "Ours"), ("run=3/last.ckpt", "k=3"), ("N", "100% & $O_2$ #1 ~x")],
)
def test_both_parts_of_a_name_may_hold_an_equals_sign(row, name, tmp_path, capsys):
    write(tmp_path / "a", row)
    write(tmp_path / "b", "run")
    text = printed(tmp_path, "--name", f"{row}={name}", "--format", "tex", capsys=capsys)
    assert f"\n{latex_text(name)} & " in text


def test_names_may_be_exchanged_and_never_given_twice(tmp_path, capsys):
    for name in "ABC":
        write(tmp_path / name, name)
    text = printed(tmp_path, "--name", "A=B", "--name", "B=A", capsys=capsys)
    assert [line.split("|")[1].strip() for line in text.splitlines()[4:]] == ["B", "A", "C"]
    assert "--name A: is given twice" in refusal("table", tmp_path, "--paper", "--name", "A=X", "--name", "A=Y")
    table = gather_results([f"row={tmp_path / 'A'}"])
    refused(ValueError, "--name A and --name row: both name the row row", paper_table, table, {"A": "X", "row": "Y"})


def test_a_published_row_is_named_without_its_source():
    ours = records_of(davis_result({"J&F-Mean": 0.5}, network=Network(name="N")))
    table = tabulate(ours)
    rows = dict(table.rows) | {
        "VFS, ResNet-18 [VFS (arXiv 2103.17263), Table 7]": {table.heads[0]: Cell(published=0.6)}
    }
    text = paper_table(replace(table, rows=rows), {"VFS, ResNet-18": "VFS"})
    assert "| VFS | **60.0** |" in text
