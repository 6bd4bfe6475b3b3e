"""`vidcorr reproduce`: whole, with weights that the test makes.

Also tests `reports/published_scores.py`.
"""

from dataclasses import replace

from tests.helpers.runs import davis_result
from tests.helpers.words import refusal
from vidcorr.cli import main
from vidcorr.experiments.reports.published_scores import list_of_rows, printed_and_measured
from vidcorr.experiments.runs.store import Store
from vidcorr.results.published import published_rows, sets_of_papers
from vidcorr.results.rendering import render


def test_without_data_the_rows_are_listed_below_their_weights(capsys, tmp_path):
    main(["reproduce", "dino-s8", "crw-r18", "vfs-r18"])
    said = capsys.readouterr().out
    assert "dino-s8: davis J&F-Mean 69.9 by dino; huggingface.co/timm/vit_small_patch8_224.dino, about" in said
    assert said.endswith(" 4 lack weights\n")
    assert "crw-r18: davis J&F-Mean 67.606 by crw; weights/crw-r18.ckpt is missing: github.com/aj" in said
    assert said.count("doubt: the input's size is inferred from the code family") == 2
    assert "no row has a printed score on otb" in refusal("reproduce", "--all", "--on", f"otb={tmp_path}")


def test_a_line_of_the_list_has_100_characters_unless_a_word_is_longer():
    long = "-".join(["name"] * 30)
    row = next(row for row in published_rows() if row.short_name)
    texts = {"protocol": "vfs", "doubt": f"{long} {'a ' * 30}z", "download": "x " * 60}
    row = replace(row, short_name="short", model="net", benchmark="davis", scores={"J-Mean": 0.5}, **texts)
    head = "short: davis J-Mean 50.0 by vfs; "
    lines = [f"{head}{'x ' * 33}x", f"    {'x ' * 26}; doubt:", f"    {long}", f"    {'a ' * 30}z"]
    assert list_of_rows([row]).splitlines()[:-1] == lines


def test_ours_stands_before_the_printed_score_with_its_difference_in_the_printed_digits(recorded):
    """Results of less than the whole test set are named."""
    row = next(row for row in published_rows() if row.short_name == "dino-s8" and row.benchmark == "davis")
    row = replace(row, scores={"J&F-Mean": 0.699, "J-Mean": 0.6664})
    data = dict(sets_of_papers()["davis"])
    whole = {"sequences": list(map(str, range(data.pop("sequences")))), "data": data}
    found = []
    for ours, about in ((0.6997, whole), (0.6986, whole), (0.7113, {})):
        table = printed_and_measured([(row, davis_result({"J&F-Mean": ours, "J-Mean": 0.5}, **about))])
        found.append(render(table).splitlines())
    assert found == recorded["beside"]


def test_the_rows_of_a_benchmark_are_run_with_their_networks_and_protocols(tmp_path, monkeypatch, capsys):
    ran = []

    def run(self, jobs):
        self.failures[jobs[0]] = "no space left"
        ran.extend((job.network.spec, job.network.pretrained, job.benchmark.protocol.name) for job in jobs)
        return {job: davis_result({"J&F-Mean": 0.7, "J-Mean": 0.7, "F-Mean": 0.7}) for job in jobs}

    monkeypatch.setattr(Store, "run", run)
    main(["reproduce", f"--on=davis={tmp_path}"])  # without names of rows and `--all` it lists
    assert (ran, capsys.readouterr().out.count(" rows: ")) == ([], 1)
    assert "1 failed" in refusal("reproduce", "dino-s8", "crw-r18", f"--on=davis={tmp_path}", f"--output={tmp_path}")
    assert ran == [("timm:vit_small_patch8_224.dino", True, "dino")]
    said = capsys.readouterr().out
    assert said.startswith("left out for want of weights:\ncrw-r18: davis J&F-Mean 67.606 by crw; weights/")
    assert "| dino-s8 | 70.0; +0.1 | 69.9 |" in said
