"""`vidcorr table`: numbers of one column share benchmark, data and protocol to the last value; formats; odd names.

Also tests `experiments/table.py`.
"""

import csv
import math
import re
import sys

import pytest

from cli import main
from tests.helpers.runs import davis_result, write_results
from tests.helpers.words import refusal
from vidcorr.experiments.table import gather_records
from vidcorr.protocols import PointProtocol, PropagationProtocol
from vidcorr.results.formats import one_line
from vidcorr.results.records import records_of
from vidcorr.results.rendering import render
from vidcorr.results.result import Evaluated, Network, Protocol, Result, Stage
from vidcorr.results.statistics import Sample, difference, interval
from vidcorr.results.tables import tabulate


def gather_results(folders, scores=(), base=""):
    table = tabulate(gather_records(folders, scores))
    return table.with_differences(base) if base else table


def write(folder, network, scores, j=None, **more):
    """Write a result; `j`: sequence → J of its objects."""
    videos = {} if j is None else {"videos": {"J-Mean": j}}
    return write_results(folder, scores, **{"network": network, "digest": "d1", "sequences": 8} | videos | more)


def test_digests_and_data_are_never_mixed(tmp_path):
    write(tmp_path / "a", "A", {"J&F-Mean": 0.5, "J-Mean": 0.4})
    write(tmp_path / "b", "B", {"J&F-Mean": 0.6}, digest="d2")
    write(tmp_path / "c", "C", {"J&F-Mean": 0.7}, sequences=30)
    write(tmp_path / "d", "D", {"J&F-Mean": 0.8})
    write(tmp_path / "e", "A", {"mIoU": 0.3}, benchmark="vip")
    write(tmp_path / "f", "F", {"J&F-Mean": 0.9}, conditions=["2016", "val", "8 sequences"])
    write(tmp_path / "g", "G", {"J&F-Mean": 0.1}, conditions=["all frames", "8 sequences"])
    table = gather_results([tmp_path], ["J&F-Mean", "mIoU"])
    stated = ("8 sequences d1", "8 sequences d2", "30 sequences", "2016, val, 8 sequences", "all frames, 8 sequences")
    davis = [f"davis J&F-Mean (vfs, {each})" for each in stated]
    heads = list(table.columns)
    assert heads == [*davis[:3], "vip mIoU (vfs, 8 sequences)", *davis[3:]]
    column = heads.index
    found = {name: {column(head): cell.mean for head, cell in row.items()} for name, row in table.rows.items()}
    assert found == {"A": {0: 0.5, 3: 0.3}, "B": {1: 0.6}, "C": {2: 0.7}, "D": {0: 0.8}, "F": {4: 0.9}, "G": {5: 0.1}}


SCORES = {"a": [0.5, 0.7], "b": [0.4], "c": [0.9], "d": [0.625]}
"""Sequence → J of its objects; their mean is 0.625."""


def shifted(by):
    return {name: [value + by for value in values] for name, values in SCORES.items()}


def test_seeds_of_one_recipe_are_one_row_with_their_spread(tmp_path):
    for seed in (0, 1, 2):
        about = {"recipe": "a", "network_seed": seed}
        write(tmp_path / f"s{seed}", "A", {"J-Mean": 0.625 + seed / 10}, shifted(seed / 10), **about)
    other = write(tmp_path / "x", "A", {"J-Mean": 0.2}, recipe="b", network_seed=3)
    table = gather_results([tmp_path])
    name, apart = table.rows
    (cell,) = table.rows[name].values()
    assert apart == f"A ({other})"
    assert cell.scores == pytest.approx((0.625, 0.725, 0.825))
    assert (cell.mean, cell.deviation) == pytest.approx((0.725, 0.1))
    assert cell.interval == interval([Sample.of_means(shifted(seed / 10)) for seed in range(3)])
    assert "| 72.5 ± 10.0 [" in render(table, "md")


def test_seeds_of_unknown_recipes_are_rows_of_their_own_and_those_of_random_weights_are_not(tmp_path):
    for loaded in (True, False):
        for seed in (0, 1):
            network = Network(name="A", seed=seed, loaded=loaded)
            davis_result({"J-Mean": 0.5}, network=network).save(tmp_path / str(loaded) / str(seed))
    assert [len(gather_results([tmp_path / str(loaded)]).rows) for loaded in (True, False)] == [2, 1]


def test_named_folders_are_the_seeds_of_a_row_and_differences_are_paired(tmp_path):
    runs = [shifted(0.1 + k / 50) for k in range(3)]
    for k, run in enumerate(runs):
        write(tmp_path / f"ours{k}", f"x{k}", {"J-Mean": 0.725 + k / 50}, run)
    base = write(tmp_path / "base", "B", {"J-Mean": 0.625}, SCORES)
    another = write(tmp_path / "another", "C", {"J-Mean": 0.4}, digest="d2")
    words = [*(f"ours={tmp_path}/ours{k}" for k in range(3)), str(base), str(another)]
    table = gather_results(words, base="B")
    (cell,) = table.rows["ours"].values()
    samples = list(map(Sample.of_means, runs))
    assert cell.difference == difference(samples, [Sample.of_means(SCORES)], trained=(True, False))
    assert cell.difference.mean == pytest.approx(0.12)
    assert all(cell.difference is None for name in "BC" for cell in table.rows[name].values())
    text = render(table)
    assert "; +12.0 [+7.0, +17.0], p 0.0091" in text
    assert "Differences are from B. They are paired by sequence, and by seed where" in text
    fields = next(csv.DictReader(render(table, "csv").splitlines()))
    assert (fields["row"], fields["protocol"]) == ("ours", "d1")
    assert fields["column"].startswith("davis J-Mean (vfs, 8 sequences d1")
    assert (float(fields["difference"]), len(fields["scores"].split())) == (pytest.approx(0.12), 3)
    untested = render(gather_results(words[1:], base="B"))
    assert "; +13.0 |" in untested
    assert "A difference without an interval is not tested" in untested


def test_a_named_folder_holds_the_seeds_of_a_row_and_of_a_training_its_last_evaluation(tmp_path):
    for seed, step in ((0, 4), (0, 8), (1, 8)):
        past = [Evaluated(epoch=step // 4, step=step, scores={})]
        place = tmp_path / "runs" / f"seed-{seed}" / f"step={step}"
        write(place, "A", {"J-Mean": 0.5 + seed / 10 + step / 100}, network_seed=seed, history=past)
    (cell,) = gather_results([f"a={tmp_path}/runs"]).rows["a"].values()
    assert cell.scores == pytest.approx((0.58, 0.68))
    write(tmp_path / "runs/again", "A", {"J-Mean": 0.1}, network_seed=1)
    assert "two results of seed 1 of davis" in refusal("table", f"a={tmp_path}/runs")


def test_as_many_sequences_of_other_names_are_another_column(tmp_path):
    """`vidcorr score` of two data sets with three videos each: only the names tell them apart."""
    others = {f"other_{name}": values for name, values in SCORES.items()}
    for folder, videos in (("a", SCORES), ("b", others)):
        write(tmp_path / folder, folder, {"J-Mean": 0.625}, videos, rules="mose", sequences=4)
    table = gather_results([tmp_path], base="a")
    assert len(table.columns) == 2
    assert all(len(row) == 1 for row in table.rows.values())


def test_networks_of_two_strides_share_a_column_and_their_rows_name_the_strides(tmp_path):
    vfs = PropagationProtocol.named("vfs", "davis")
    for name, stride, gain in (("resnet", 8, 0.0), ("vit", 16, 0.1)):
        protocol = Protocol.of(vfs.brought_by_features(feature_stride=stride))
        stage = Stage(layer="last", stride=stride, protocol=protocol)
        write(tmp_path / name, name, {"J-Mean": 0.625 + gain}, shifted(gain), stage=stage)
    table = gather_results([tmp_path], base="resnet")
    (head,) = table.columns
    assert head == "davis J-Mean (vfs, 8 sequences)"
    assert list(table.rows) == ["resnet, stride 8", "vit, stride 16"]
    assert table.rows["vit, stride 16"][head].difference.mean == pytest.approx(0.1)


def test_a_network_whose_stride_the_protocol_chooses_stays_a_row_that_is_a_base_in_every_column(tmp_path):
    """By default DAVIS is scored at stride 8, TAP-Vid at stride 4 if the network is a ResNet."""
    points = PointProtocol.named("vidcorr")
    for name, stride in (("resnet", 4), ("vit", 16)):
        write_both(tmp_path / name, name, stage=by_protocol("vfs", min(2 * stride, 16)))
        stage = Stage(stride=stride, protocol=Protocol.of(points.brought_by_features(feature_stride=stride)))
        videos = {"AJ": SCORES}
        write(tmp_path / f"{name}-points", name, {"AJ": 0.625}, videos=videos, benchmark="tap_vid", stage=stage)
    alone = gather_results([tmp_path / "resnet", tmp_path / "resnet-points"])
    assert list(alone.rows) == ["resnet"]
    table = gather_results([tmp_path], ["J-Mean", "AJ"], base="resnet")
    assert list(table.rows) == ["resnet, stride 4 and stride 8", "vit, stride 16"]
    assert all(cell.difference is not None for cell in table.rows["vit, stride 16"].values())
    assert "input of 256 x 256 px, stride 4;" in render(table)  # it searches the whole frame: no radius


def test_the_three_formats(tmp_path, capsys):
    write(tmp_path / "a", "A_1\n| \\input{x}~^%#$", {"J&F-Mean": 0.51239})
    write(tmp_path / "b", "B", {"J&F-Mean": 0.25, "J-Mean": 0.5})
    said = {}
    for name in ("md", "csv", "tex"):
        main(["table", str(tmp_path), "--score", "J&F-Mean", "--score", "J-Mean", "--format", name])
        said[name] = capsys.readouterr().out
    assert said["md"] == (
        "## davis (vfs, 8 sequences)\n\n|  | J&F-Mean | J-Mean |\n| --- | ---: | ---: |\n"
        "| A_1 \\| \\input{x}~^%#$ | **51.2** |  |\n| B | 25.0 | 50.0 |\n\n"
        "Per cent. Bold is the best of a column.\n"
    )
    means = [(row["row"][:3], row["mean"]) for row in csv.DictReader(said["csv"].splitlines())]
    assert [mean for _, mean in means] == ["0.51239", "0.25", "0.5"]
    name = r"A\_1 | \textbackslash{}input\{x\}\textasciitilde{}\textasciicircum{}\%\#\$"
    assert rf"{name} & \textbf{{51.2}} &  \\" in said["tex"]


def test_a_base_that_is_no_row_and_two_results_of_a_row_are_refused(tmp_path):
    write(tmp_path / "a", "A", {"J&F-Mean": 0.5})
    write(tmp_path / "b", "A", {"J&F-Mean": 0.5})
    assert "base 'Z' names no rows; the rows are A" in refusal("table", tmp_path / "a", "--base", "Z")
    assert "holds two results of davis" in refusal("table", f"N={tmp_path}")
    assert f"no result in {tmp_path} has mIoU" in refusal("table", tmp_path, "--score", "mIoU")


def printed(folder, *words, capsys):
    main(["table", str(folder), *words])
    return capsys.readouterr().out


def write_both(folder, network, shift=0.0, **more):
    """Write a result with J, F and their mean on eight sequences."""
    region = {str(n): [0.6 + shift + 0.01 * n] for n in range(8)}
    columns = {"J-Mean": region, "F-Mean": {video: [value + 0.1] for video, (value,) in region.items()}}
    scores = {"J&F-Mean": 0.66 + shift, "J-Mean": 0.6 + shift, "F-Mean": 0.72 + shift}
    write(folder, network, scores, videos=columns, **more)


def test_latex_has_a_head_per_benchmark_and_says_in_the_caption_what_all_scores_share(tmp_path, capsys):
    for seed in (0, 1):
        write_both(tmp_path / f"run{seed}", "my_net & co", 0.02 * seed, network_seed=seed, recipe="r")
    write_both(tmp_path / "b", "[B]", 0.1)
    text = printed(tmp_path, "--format", "tex", "--base", "[B]", capsys=capsys)
    heads = r"""
 & \multicolumn{6}{c}{davis} \\
\cmidrule(lr){2-7}
 & J\&F & $\Delta$ & J & $\Delta$ & F & $\Delta$ \\
\midrule
{}[B] & \textbf{76.0} &  & \textbf{70.0} &  & \textbf{82.0} &  \\
my\_net \& co & 67.0 $\pm$ 1.4 & $-$9.0 & 61.0 $\pm$ 1.4 & $-$9.0 & 73.0 $\pm$ 1.4 & $-$9.0 \\
"""
    assert heads in text
    meaning = (
        r"\caption{Scores in per cent on davis (8 sequences), by protocol vfs. Bold is the best of a column. $\pm$ is "
        r"the standard deviation over seeds. Differences ($\Delta$) are from [B].}"
    )
    assert meaning in text
    text = printed(tmp_path / "b", "--format", "tex", "--score", "J-Mean", "--intervals", capsys=capsys)
    assert re.search(r"^ & J & 95 \\% interval \\\\$", text, re.MULTILINE)
    assert re.search(r"^\{\}\[B\] & 70\.0 & \[\d+\.\d, \d+\.\d\] \\\\$", text, re.MULTILINE)
    assert "Brackets are the 95 \\% interval (Student's" in text


def by_protocol(name, stride=8, **changes):
    """Return the stage of a result by a named protocol."""
    protocol = PropagationProtocol.named(name, "davis").with_changes(**changes)
    return Stage(stride=stride, protocol=Protocol.of(protocol.brought_by_features(feature_stride=stride)))


def test_two_protocols_in_a_table_say_size_stride_and_radius(tmp_path, capsys):
    """90.5 on frames that are enlarged to 480 px, and 35.2 at their own 64 px, are no riddle."""
    for name, stage in (("a", by_protocol("vfs", radius=3)), ("b", by_protocol("dino", stride=16))):
        write_both(tmp_path / name, name, stage=stage, short_sides=[64, 64])
    settings = {
        "vfs+radius=3": "frames of 64 px, stride 8, radius 3 cells",
        "dino": "frames of 64 px, input of 480 px, stride 16, radius 12 cells",
    }
    for kind in ("md", "text"):
        text = printed(tmp_path, "--format", kind, capsys=capsys)
        assert all(f"{protocol}: {setting}." in text for protocol, setting in settings.items())
    text = printed(tmp_path, "--format", "tex", capsys=capsys)
    assert r"\multicolumn{3}{c}{davis, vfs+radius=3} & \multicolumn{3}{c}{davis, dino}" in text
    assert all(text.count(f"{protocol} ({setting})") == 1 for protocol, setting in settings.items())
    assert "stride" not in printed(tmp_path / "a", "--format", "md", capsys=capsys)


def test_a_name_of_the_user_is_the_name_of_the_row(tmp_path):
    """Whatever else the networks differ in; a name with two strides in a column needs them."""
    for name, stride in (("a", 8), ("b", 16)):
        write_both(tmp_path / name, name, stage=by_protocol("vfs", stride, radius=3))
    words = [f"Ours={tmp_path / 'a'}", f"Theirs={tmp_path / 'b'}"]
    assert list(gather_results(words).rows) == ["Ours", "Theirs"]
    assert list(gather_results([f"Ours={tmp_path}"]).rows) == ["Ours, stride 8", "Ours, stride 16"]


def test_a_terminal_shows_aligned_text_that_fits(tmp_path, monkeypatch, capsys):
    for seed in (0, 1):
        write_both(tmp_path / f"run{seed}", "net", 0.02 * seed, network_seed=seed, recipe="r")
    write_both(tmp_path / "b", "base", -0.07)
    assert printed(tmp_path, capsys=capsys).startswith("## davis (vfs, 8 sequences)\n\n|  | J&F-Mean |")  # in a pipe
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    title, _, head, base, row, _, *others = printed(tmp_path, "--base", "base", capsys=capsys).splitlines()
    assert title == "davis (vfs, 8 sequences)"
    assert re.split("  +", head.strip()) == ["J&F-Mean", "95 % interval", "difference"]
    assert row.index("67.0 ± 1.4") == base.index("59.0")
    assert all(len(line) <= 80 for line in (head, base, row, *others))
    assert sum(line.startswith(" " * 5) and "difference" in line for line in others) == 2  # J and F stand below
    assert not {"|", "**"} & set(" ".join((head, base, row, *others)).split())


def test_a_notebook_shows_a_table_in_html(tmp_path):
    write_both(tmp_path / "a", "<b>A")
    write_both(tmp_path / "b", "B", 0.1)
    html = tabulate(gather_records([tmp_path]))._repr_html_()
    assert '<th colspan="6" style="text-align: center">davis (vfs, 8 sequences)</th>' in html
    assert "&lt;b&gt;A</th><td>66.0</td><td>[" in html
    assert "<td><b>76.0</b></td>" in html


def test_a_named_row_without_a_result_and_a_folder_that_is_missing_are_refused(tmp_path):
    write_both(tmp_path / "a-0", "A")
    write_both(tmp_path / "a-1", "A", network_seed=1)
    (tmp_path / "empty").mkdir()
    assert "nothing-*: there is no such folder" in refusal("table", tmp_path, f"Ours={tmp_path}/nothing-*")
    assert "empty: no result in this folder" in refusal("table", f"Ours={tmp_path}/empty")
    assert "there is no such folder" in refusal("table", tmp_path, tmp_path / "nowhere")
    (cell, *_) = gather_results([f"Ours={tmp_path}/a-*"]).rows["Ours"].values()
    assert len(cell.scores) == 2
    words = ("--study", "studies/vfs_small.yaml")
    assert "table --study: name one folder" in refusal("table", tmp_path, tmp_path, *words)


def test_the_scores_that_a_benchmark_names_are_the_columns():
    result = davis_result(dict.fromkeys("abcd", 0.5), headline=["d", "a"])
    table = tabulate(records_of(result, result.main_scores()))
    assert [column.score for column in table.columns.values()] == ["d", "a"]


UNPRINTABLE = "\x1b[2J\x07\x00\r\u202e\u2066\u200b\u2028\udcff"
"""Moves a cursor, rings, ends a text, turns words around, is invisible, breaks a line, is a byte of a path."""


def test_unprintable_letters_are_shown_as_codes_and_others_stay(tmp_path, capsys):
    assert one_line("été τ\n日本") == "été τ 日本"
    network = Network(name=f"n{UNPRINTABLE}")
    davis_result({"J-Mean": 0.5}, network=network, benchmark=f"b{UNPRINTABLE}").save(tmp_path / "a")
    Result.load(tmp_path / "a").print()
    for kind in ("md", "tex", "csv"):
        main(["table", str(tmp_path / "a"), "--format", kind])
    text = capsys.readouterr().out
    assert r"\u202e" in text
    assert not (set(UNPRINTABLE) - set("[2J\r")) & set(text)
    printed(tmp_path / "a", "--page", str(tmp_path / "page"), capsys=capsys)  # bytes of a path are written as codes


def test_a_seed_without_a_score_makes_the_row_undefined(tmp_path, capsys):
    for seed, score in enumerate((0.5, math.nan, 0.7)):
        write(tmp_path / str(seed), "A", {"J-Mean": score}, network_seed=seed, recipe="r")
    table = gather_results([tmp_path])
    assert "| A | – |" in render(table)
    (cell,) = table.cells
    assert math.isnan(cell.deviation)
    for words in (["--format", "tex"], ["--format", "csv"], ["--page", str(tmp_path / "page")]):
        printed(tmp_path, *words, capsys=capsys)


def test_an_infinite_number_is_refused_where_it_arises():
    with pytest.raises(ValueError, match="is infinite: give a finite number, or NaN if it is undefined"):
        davis_result({"J-Mean": math.inf})
