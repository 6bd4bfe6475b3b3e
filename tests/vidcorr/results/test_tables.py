"""Tables as papers print them, of folders and of studies."""

import json

import pytest

from cli import main
from tests.helpers.refusal import refused
from tests.helpers.runs import davis_result, write_results
from tests.helpers.words import refusal
from vidcorr.experiments.study import read_study
from vidcorr.experiments.table import gather_records
from vidcorr.results.formats import latex_text
from vidcorr.results.records import records_of
from vidcorr.results.result import Protocol, Stage
from vidcorr.results.tables import render_as_in_papers, tabulate

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
    assert head == "|  | davis 𝒥&ℱ | davis 𝒥 | davis ℱ |"
    assert first == "| Ours | 66.0 | 60.0 | 72.0 |"
    assert second == "| vfs-r18 | **76.0** | **70.0** | **82.0** |"
    assert caption == "Scores in per cent. davis, 8 sequences: protocol vfs. Features: res4, stride 8."


def test_strides_that_differ_stand_in_the_row_but_for_a_renamed_one(tmp_path, capsys):
    write(tmp_path / "a", "A")
    write(tmp_path / "b", "B")
    write(tmp_path / "c", "C", stride=4)
    text = printed(tmp_path, "--name", "B=Ours", "--score", "J-Mean", capsys=capsys)
    rows = [line.split("|")[1].strip() for line in text.splitlines()[4:]]
    assert rows == ["A, stride 8", "Ours", "C, stride 4"]
    assert "Features" not in text


def test_seeds_intervals_and_differences(tmp_path, capsys):
    for seed in (0, 1):
        write(tmp_path / f"run{seed}", "A", 0.02 * seed, network_seed=seed, recipe="r")
    write(tmp_path / "base", "B", 0.1)
    plain = printed(tmp_path, "--base", "B", capsys=capsys)
    assert "| A | 67.0 ± 1.4; −9.0 | 61.0 ± 1.4; −9.0 | 73.0 ± 1.4; −9.0 |" in plain
    assert "standard deviation over seeds. After “;”: difference from B." in plain
    text = printed(tmp_path, "--intervals", capsys=capsys)
    assert "| A | 67.0 ± 1.4 [" in text
    assert "95 % intervals" in text


def test_latex(tmp_path, capsys):
    write(tmp_path / "a", "my_net & co")
    write(tmp_path / "b", "B", 0.1)
    text = printed(tmp_path, "--format", "latex", capsys=capsys)
    assert r" & \multicolumn{3}{c}{davis} \\" in text
    assert r"\cmidrule(lr){2-4}" in text
    assert r" & $\mathcal{J}$\&$\mathcal{F}$ & $\mathcal{J}$ & $\mathcal{F}$ \\" in text
    assert r"my\_net \& co & 66.0 & 60.0 & 72.0 \\" in text
    assert r"B & \textbf{76.0} & \textbf{70.0} & \textbf{82.0} \\" in text
    assert r"\caption{Scores in per cent. davis, 8 sequences: protocol vfs. Features: stride 8.}" in text


def test_several_protocols_stand_over_their_columns(tmp_path):
    write(tmp_path / "a", "A")
    crw = Protocol(name="crw", digest="d2", shared_name="crw", shared="d2")
    write(tmp_path / "b", "A", stage=Stage(stride=8, protocol=crw))
    text = render_as_in_papers(tabulate(gather_records([tmp_path], ["J-Mean"])))
    head = text.splitlines()[2]
    assert "davis (vfs, 8 sequences) 𝒥" in head
    assert "davis (crw, 8 sequences) 𝒥" in head
    assert "davis, 8 sequences: protocol crw." in text


def test_a_study_has_its_own_names_heads_numbers_and_differences(tmp_path, capsys):
    rows = [{"name": "base", "published": {"davis": 65.0}}, {"name": "two components, more", "flags": "--x 1"}]
    study = {"title": "t", "train": "--x 0", "seeds": [0], "evaluate": {"davis": "--on davis=D"}, "rows": rows}
    (tmp_path / "study.yaml").write_text(json.dumps(study))
    steps = [step for line in read_study(str(tmp_path / "study.yaml")).lines(tmp_path / "out") for step in line]
    for shift, step in enumerate(step for step in steps if step.evaluation):
        write(step.output / "net", "runs/last.ckpt", 0.1 * shift)
    words = ("--study", str(tmp_path / "study.yaml"))
    _, _, head, _, base, more = printed(tmp_path / "out", *words, capsys=capsys).splitlines()
    assert head == "|  | davis 𝒥&ℱ | davis 𝒥&ℱ, paper |"
    assert base == "| base | 66.0 | 65.0 |"
    assert more == "| two components, more | **76.0**; +10.0 | – |"
    words = (*words, "--score", "J-Mean", "F-Mean", "--base", "two components")
    _, _, head, _, base, more = printed(tmp_path / "out", *words, capsys=capsys).splitlines()
    assert head == "|  | davis 𝒥 | davis ℱ |"  # the printed number is of another score
    assert base == "| base | 60.0; −10.0 | 72.0; −10.0 |"
    assert more == "| two components, more | **70.0** | **82.0** |"


def test_the_scores_that_a_benchmark_names_are_the_columns():
    result = davis_result(dict.fromkeys("abcd", 0.5), headline=["d", "a"])
    table = tabulate(records_of(result, scores=result.main_scores()))
    assert [column.score for column in table.columns.values()] == ["d", "a"]


def test_mistakes(tmp_path):
    for name in "AB":
        write(tmp_path / name, name)
    assert "--name C=Ours: write ROW=NAME, with a row of A; B" in refusal("table", tmp_path, "--name", "C=Ours")
    assert "each row needs one name of its own" in refusal("table", tmp_path, "--name", "A=Ours", "B=Ours")
    assert "prints Markdown or LaTeX" in refusal("table", tmp_path, "--paper", "--format", "csv")


@pytest.mark.parametrize(
    ("row", "name"), [("N", "Ours (tau=0.1)"), ("run=3/last.ckpt", "k=3"), ("N", "100% & $O_2$ #1 ~x")]
)
def test_both_parts_of_a_name_may_hold_an_equals_sign(row, name, tmp_path, capsys):
    write(tmp_path / "a", row)
    write(tmp_path / "b", "run")
    text = printed(tmp_path, "--name", f"{row}={name}", "--format", "tex", capsys=capsys)
    assert f"\n{latex_text(name)} & " in text


def test_names_may_be_exchanged(tmp_path):
    for name in "ABC":
        write(tmp_path / name, name)
    table = tabulate(gather_records([tmp_path]))
    assert list(table.renamed({"A": "B", "B": "A"}).rows) == ["B", "A", "C"]
    refused(ValueError, "--name 'D' names no rows; the rows are A; B; C", table.renamed, {"D": "X"})
