"""A sweep: the scores of each protocol alone, from far fewer passes; a choice that is reported elsewhere."""

import pytest
import torch

from tests.helpers.folders import held
from tests.helpers.nodes import run_on_nodes
from tests.helpers.refusal import refused
from vidcorr import DavisBenchmark, YoutubeVosBenchmark
from vidcorr.backbones import build_feature_extractor
from vidcorr.benchmarks.network import NetworkSpec
from vidcorr.commands.sweep import command
from vidcorr.datasets.generated import write_youtube_vos
from vidcorr.experiments.grid import read_grid
from vidcorr.experiments.sweep import sweep
from vidcorr.results.records import results_below, score_of
from vidcorr.results.statistics import mean_score

VARIED = ["radius=3,6", "topk=2,10", "temperature=0.05,0.2"]


def scores_below(output):
    return [record for result in results_below(output).values() for record in score_of(result, "J&F-Mean")]


@pytest.fixture(scope="module")
def sweep_of(davis_root):
    """Return a function that sweeps over three generated sequences, by default with raw colour."""

    def run(output, *flags, network="raw_colour"):
        command([network, "--on", f"davis={davis_root}", "--output", str(output), *flags])

    return run


@pytest.fixture(scope="module")
def swept(sweep_of, tmp_path_factory):
    """A sweep of eight protocols, untrained ResNet-18."""
    output = tmp_path_factory.mktemp("sweep")
    sweep_of(output, "--vary", *VARIED, network="torchvision:resnet18")
    return output


@pytest.mark.slow
def test_scores_are_those_of_each_protocol_alone(swept, davis_root):
    scored = scores_below(swept)
    assert len(scored) == 8
    torch.manual_seed(0)
    extractor = build_feature_extractor("torchvision:resnet18", stage="res4", stride=8)
    for one in scored[::3]:
        changes = {field: one.stage.protocol.fields[field] for field in ("radius", "topk", "temperature")}
        benchmark = DavisBenchmark(davis_root, changes=changes)
        assert benchmark.evaluate(extractor).scores["J&F-Mean"] == pytest.approx(one.value, abs=1e-9)
        assert benchmark.protocol.digest() == one.stage.protocol.shared


@pytest.mark.slow
def test_what_a_sweep_writes(swept):
    text = (swept / "sweep.md").read_text()
    assert all(f"## {field}" in text for field in ("radius", "topk", "temperature"))
    assert "Chosen on some sequences" in text


@pytest.mark.slow
def test_a_grid_that_grows_runs_what_is_new_in_one_pass(swept, sweep_of, evaluated, capsys):
    """Also where another network, protocol or data set has been swept in the folder."""
    sweep_of(swept, "--vary", *VARIED, network="torchvision:resnet18")
    assert "Best 8 of 8 protocols" in capsys.readouterr().out
    assert not evaluated
    sweep_of(swept, "--vary", *VARIED[:2], "temperature=0.05,0.1", network="torchvision:resnet18")
    assert "8 jobs, 4 are done; 1 passes over the videos" in capsys.readouterr().out
    assert [len(protocols) for protocols in evaluated] == [4]


@pytest.mark.slow
def test_processes_and_ranks_give_the_scores_of_one_run(davis_root, tmp_path, capsys):
    """A batch left to another process, and two ranks by torchrun, against one process."""
    words = ["raw_colour", "--on", f"davis={davis_root}", "--vary", "topk=2,10", "--output"]
    command([*words, str(tmp_path / "one")])
    first = next(path.parent.name for path in sorted((tmp_path / "one").glob("*/results.json")))
    with held(tmp_path / "several" / first):
        command([*words, str(tmp_path / "several")])
    said = capsys.readouterr().out
    assert "running elsewhere\n" in said
    assert "1 of 2 jobs are done; the table follows when all are done" in said
    command([*words, str(tmp_path / "several")])
    first_rank, other = run_on_nodes(2, ["sweep", *words, str(tmp_path / "ranks")])
    assert "Best 2 of 2 protocols" in first_rank
    assert "protocols" not in other
    one = (tmp_path / "one" / "sweep.md").read_text()
    assert (tmp_path / "several" / "sweep.md").read_text() == one == (tmp_path / "ranks" / "sweep.md").read_text()
    assert {result.ranks for result in results_below(tmp_path / "ranks").values()} == {2}


@pytest.mark.slow
def test_named_protocols_are_swept_as_they_are_also_at_another_stride(sweep_of, davis_root, tmp_path, capsys):
    sweep_of(tmp_path, "--protocols", "vfs", "crw", "--stride", "16")
    said = capsys.readouterr().out
    assert "2 jobs; 1 passes" in said
    assert said.count("## ") == 2
    scored = scores_below(tmp_path)
    extractor = build_feature_extractor("raw_colour", stride=16)
    alone = [
        DavisBenchmark(davis_root, protocol=name).evaluate(extractor).scores["J&F-Mean"] for name in ("crw", "vfs")
    ]
    found = {one.stage.protocol.name: one.value for one in scored}
    assert found == pytest.approx(dict(zip(("crw+feature_stride=16", "vfs+feature_stride=16"), alone, strict=True)))


@pytest.mark.slow
def test_scores_that_rows_alone_have_are_their_means(tmp_path):
    """YouTube-VOS has J-Seen and the like over all sequences, and J-Mean in its rows."""
    root = write_youtube_vos(tmp_path / "data", 3, valid=1, frames=16, size=(64, 64), sprites=(2, 2))
    benchmark = YoutubeVosBenchmark(root, split="train", predictions=False)
    grid = read_grid(benchmark.protocol, ["topk=2,10"])
    given = [NetworkSpec.read("raw_colour")], benchmark, grid
    output = tmp_path / "out"
    sweep(*given, output)
    for one in scores_below(output):
        assert one.value == pytest.approx(mean_score(one.videos))
    known = "score PCK: YoutubeVosBenchmark has J-Mean, F-Mean, Overall"
    assert refused(ValueError, known, sweep, *given, output, "PCK")
    sweep(*given, output, "Overall")
    assert "## Chosen" not in (output / "sweep.md").read_text()  # its rows do not give it
