"""Predictions of others beside our networks: one truth, one rule, one table, and a paired difference.

Also tests `results/records.py`.
"""

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from tests.helpers.benchmark_data import arguments_of
from tests.helpers.refusal import refused
from tests.helpers.words import refusal
from vidcorr import DavisBenchmark, JhmdbBenchmark, OtbBenchmark, TapVidBenchmark, VosBenchmark, YoutubeVosBenchmark
from vidcorr.cli import main
from vidcorr.datasets import generated
from vidcorr.experiments.reports.result_table import table
from vidcorr.results.rendering import render
from vidcorr.results.result import Result
from vidcorr.scoring.beside import score_beside

PAIRED = [(kind, "masks", {}) for kind in (DavisBenchmark, VosBenchmark, YoutubeVosBenchmark)]  # the last by categories
PAIRED.insert(2, (OtbBenchmark, "boxes", {}))
PAIRED.append((TapVidBenchmark, "points", {"changes": {"query_mode": "strided"}}))


@pytest.fixture(autouse=True)
def _without_pictures(monkeypatch):
    """They take half of the time."""
    for module in ("mask_benchmark", "otb", "tap_vid"):
        monkeypatch.setattr(f"vidcorr.benchmarks.{module}.SequencePictures", Mock())


@pytest.mark.parametrize(("kind", "what", "more"), PAIRED)
@pytest.mark.sampled(2)
def test_their_predictions_of_our_network_have_its_scores_and_pair_with_it(kind, what, more, tmp_path):
    benchmark = kind(**arguments_of(kind, tmp_path / "set") | more)
    ours = benchmark.evaluate("raw_colour", tmp_path / "ours")
    theirs = score_beside(benchmark, tmp_path / "ours/predictions")
    theirs.save(tmp_path / "theirs")
    assert (theirs.digests, theirs.sequences, theirs.conditions) == (ours.digests, ours.sequences, ours.conditions)
    common = [name for name in ours.scores if name in theirs.scores]
    assert {name: theirs.scores[name] for name in common} == pytest.approx({name: ours.scores[name] for name in common})
    found = table([tmp_path / "ours", f"X={tmp_path / 'theirs'}"], common[:1]).with_differences("X")
    assert list(found.rows) == ["raw_colour", f"X (their {what})"]
    assert len(found.columns) == 1
    (cell,) = found.rows["raw_colour"].values()
    assert cell.difference.mean == pytest.approx(0)
    assert cell.difference.sequences == len(ours.sequences)
    assert f"Their {what} are scored from disk, and have no protocol of ours." in render(found)


@pytest.mark.slow
def test_the_command_makes_the_commonest_table_of_a_paper(tmp_path, capsys):
    """A competitor's masks beside an own network, under two protocols; other rules or data do not share it."""
    root = generated.write_davis(tmp_path / "davis", 4, frames=6, size=(48, 64))
    on = ["--on", f"davis={root}"]
    network = ["evaluate", "raw_colour", *on, "--protocol", "vfs", "crw", "--change", "radius=2"]
    main([*network, "--output", f"{tmp_path}/ours"])
    (masks,) = tmp_path.glob("ours/*-vfs-*/predictions")
    shutil.copytree(masks, tmp_path / "MASKS")
    main(["score", f"{tmp_path}/MASKS", *on, "--output", f"{tmp_path}/theirs"])
    capsys.readouterr()
    shown = ["--base", "raw_colour", "--score", "J&F-Mean", "--format", "md"]
    main(["table", f"{tmp_path}/ours", f"{tmp_path}/theirs", *shown])
    lines = [line for line in capsys.readouterr().out.splitlines() if "their masks |" in line]
    assert {line.split(" | ")[1] for line in lines} == {"vfs+radius=2", "crw+radius=2"}
    assert all("; +" in line for line in lines)
    main(["score", f"{tmp_path}/MASKS", *on, "--rules", "davis-2016", "--output", f"{tmp_path}/merged"])
    other = generated.write_davis(tmp_path / "other", 4, frames=6, size=(48, 64), seed=1)
    main(["score", str(other / "Annotations/480p"), "--on", f"davis={other}", "--output", f"{tmp_path}/elsewhere"])
    for place in ("merged", "elsewhere"):
        found = table([tmp_path / "ours", f"X={tmp_path / place}"], ["J&F-Mean"]).with_differences("raw_colour")
        assert len(found.columns) == 3
        assert [cell.difference for cell in found.rows["X (their masks)"].values()] == [None]
    words = ["score", str(root / "Annotations/480p"), str(tmp_path / "MASKS")]
    main([*words, "--output", f"{tmp_path}/alone"])
    assert Result.load(tmp_path / "alone").digests.keys() == {f"synthetic-00{number}" for number in range(4)}
    assert "name TRUTH and PREDICTIONS, or PREDICTIONS alone and --on" in refusal(*words, *on)
    assert "name TRUTH and PREDICTIONS" in refusal(*words[:2])


def test_what_has_no_predictions_of_others_and_choices_of_another_kind_are_refused(tmp_path):
    joints = JhmdbBenchmark(**arguments_of(JhmdbBenchmark, tmp_path / "joints"))
    refused(ValueError, "jhmdb has no predictions of others", score_beside, joints, tmp_path)
    for kind, option, flag in (
        (DavisBenchmark, "query_mode", "--tracks"),
        (OtbBenchmark, "keep_ends", "--keep-ends"),
        (TapVidBenchmark, "rules", "--rules"),
    ):
        benchmark = kind(**arguments_of(kind, tmp_path / option))
        said = f"{option} is no choice for {benchmark.name}: leave out {flag}$"
        refused(ValueError, said, score_beside, benchmark, tmp_path, **{option: "first"})


def test_objects_without_a_category_are_scored_together_and_unseen_categories_are_the_sets(tmp_path):
    benchmark = YoutubeVosBenchmark(**arguments_of(YoutubeVosBenchmark, tmp_path) | {"split": "train"})
    rows = benchmark.evaluate("raw_colour", tmp_path / "ours").rows
    theirs = partial(score_beside, predictions=tmp_path / "ours/predictions")
    refused(ValueError, "--unseen must name unseen categories", theirs, benchmark, unseen={"nonsense"})
    meta = Path(benchmark.sequences[0].sources[0])
    meta.write_text(meta.read_text().replace('"category"', '"kind"'))
    without = theirs(replace(benchmark))
    assert without.scores["J-Mean"] == pytest.approx(np.mean([row.values["J-Mean"] for row in rows]))
