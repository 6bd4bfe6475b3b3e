"""`vidcorr reproduce`: whole, with weights that the test makes.

Also tests `experiments/reproduce.py`.
"""

from dataclasses import replace

import pytest

from cli import main
from tests.helpers.runs import davis_result
from tests.helpers.words import refusal
from vidcorr.experiments.evaluate import Runner
from vidcorr.experiments.reproduce import beside, listed
from vidcorr.results.published import published_rows, sets_of_papers


def test_without_data_the_rows_are_listed_below_their_weights(capsys, tmp_path):
    main(["reproduce", "dino-s8", "crw-r18", "vfs-r18"])
    said = capsys.readouterr().out
    of_dino = "dino-s8: huggingface.co/timm/vit_small_patch8_224.dino, about 87 MB\n    davis J&F-Mean 69.9 by dino\n"
    assert of_dino in said
    assert "crw-r18: weights/crw-r18.ckpt is missing: github.com/ajabri" in said
    assert "    davis J&F-Mean 67.606 by crw\n" in said
    assert said.count("doubt: the input's size is inferred from the code family") == 2
    assert "no row has a printed score on otb" in refusal("reproduce", "--on", f"otb={tmp_path}")
    assert "'dino-s8'" in refusal("reproduce", "vit")


def test_a_line_of_the_list_has_100_characters_unless_a_word_is_longer():
    long = "-".join(["name"] * 30)
    row = next(row for row in published_rows() if row.short_name)
    texts = {"protocol": f"vfs+{long}", "doubt": "a " * 30 + "z", "download": "x " * 60}
    row = replace(row, short_name="short", model="net", benchmark="davis", scores={"J-Mean": 0.5}, **texts)
    doubt = f"        doubt: {'a ' * 30}z"
    lines = [f"short: {'x ' * 46}x", f"    {'x ' * 12}x", "    davis J-Mean 50.0 by", f"        vfs+{long};", doubt]
    assert listed([row]).splitlines() == lines


def test_ours_stands_before_the_printed_score_with_its_difference_in_the_printed_digits():
    row = next(row for row in published_rows() if row.short_name == "dino-s8" and row.benchmark == "davis")
    table = beside([(row, davis_result({score: value + 0.0123 for score, value in row.scores.items()}))])
    ours, printed, *_ = table.rows["dino-s8"].values()
    assert (ours.mean, printed.published) == (pytest.approx(0.699 + 0.0123), 0.699)
    assert (ours.difference.mean, ours.digits, printed.digits) == (pytest.approx(0.0123), 1, 1)
    assert [column.published for column in table.columns.values()] == [False, True] * len(row.scores)
    assert table.notes == ("The difference is from the printed score", "Not the whole test set: dino-s8 on davis")


def test_scores_that_round_to_the_printed_digits_are_named_and_whole_test_sets_are_not():
    row = next(row for row in published_rows() if row.short_name == "dino-s8" and row.benchmark == "davis")
    row = replace(row, scores={"J&F-Mean": 0.699, "J-Mean": 0.6664})
    data = {key: value for key, value in sets_of_papers()["davis"].items() if key != "sequences"}
    about = {"data": data, "sequences": list(map(str, range(30)))}
    for ours, printed in (
        (0.6995, "; As printed: dino-s8 J&F-Mean"),
        (0.6997, ""),
        (0.6986, "; As printed: dino-s8 J&F-Mean"),
    ):
        table = beside([(row, davis_result({"J&F-Mean": ours, "J-Mean": 0.5}, **about))])
        assert "; ".join(table.notes) == f"The difference is from the printed score{printed}"
    assert [cell.digits for cell in table.rows["dino-s8"].values()] == [1, 1, 2, 2]


def test_the_rows_of_a_benchmark_are_run_with_their_networks_and_protocols(tmp_path, monkeypatch, capsys):
    ran = []

    def run(self, jobs):
        ran.extend((job.network.spec, job.network.pretrained, job.benchmark.protocol.name) for job in jobs)
        return {job: davis_result({"J&F-Mean": 0.7, "J-Mean": 0.7, "F-Mean": 0.7}) for job in jobs}

    monkeypatch.setattr(Runner, "run", run)
    main(["reproduce", "dino-s8", "crw-r18", "--on", f"davis={tmp_path}", "--output", str(tmp_path)])
    assert ran == [("timm:vit_small_patch8_224.dino", True, "dino")]
    said = capsys.readouterr().out
    assert said.startswith("left out for want of weights:\ncrw-r18: weights/crw-r18.ckpt is missing: ")
    assert "| dino-s8 | 70.0; +0.1 | 69.9 |" in said
