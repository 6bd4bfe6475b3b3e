"""`vidcorr bridge`: the steps of a walk between two protocols, their scores and their sum.

Also tests `reports/bridge.py`.
"""

import re
from contextlib import nullcontext

import pytest

from tests.helpers.refusal import refused
from tests.helpers.runs import davis_result
from tests.helpers.words import refusal
from vidcorr import DavisBenchmark
from vidcorr.cli import main
from vidcorr.experiments.reports.bridge import step_in_words, steps_between, table_of_steps
from vidcorr.metrics.declared import fractions
from vidcorr.protocols import PropagationProtocol
from vidcorr.results.rendering import render
from vidcorr.results.result import Row

VFS = PropagationProtocol.named("vfs")


def test_a_number_and_its_unit_change_in_one_step():
    refused(ValueError, "field must be one of .*'radius'", steps_between, VFS, VFS.with_changes(topk=3), ["radius"])
    refused(ValueError, "vfs and vfs do not differ", steps_between, VFS, VFS)
    more = steps_between(VFS, PropagationProtocol.named("vidcorr"), together=["whitened_channels,radius"])
    assert more[2] == ("whitened_channels", "radius", "radius_unit")
    joints = PropagationProtocol.named("vfs", "jhmdb")
    in_cells = joints.with_changes(keypoint_sigma=2.0, keypoint_unit="cell")
    assert steps_between(joints, in_cells) == [("keypoint_sigma", "keypoint_unit")]


def result_of(score):
    """Return a result with a score whose five sequences spread by it."""
    rows = [Row(video=str(n), object="1", values={"J-Mean": score * (0.8 + n / 10), "F-Mean": 1.0}) for n in range(5)]
    return davis_result({"J-Mean": score, "F-Mean": 1.0}, rows=rows, declared=fractions("J-Mean", "F-Mean"))


def test_a_table_has_the_score_after_each_step_and_its_difference(recorded):
    start, end = (DavisBenchmark("", protocol=name) for name in ("vfs", "vfs+topk=5+radius=9+references=[0,-1,-2]"))
    steps = [("topk",), ("radius", "references")]
    names = ["vfs", *(step_in_words(start, end, fields) for fields in steps), "mine"]
    walk = list(map(result_of, (0.3, 0.5, 0.4)))
    tables = table_of_steps(names, walk), table_of_steps(names, walk, score="F-Mean")
    assert [render(table, "text").splitlines() for table in tables] == recorded["tables"]
    refused(ValueError, "score must be one of 'J-Mean', 'F-Mean'", table_of_steps, names, walk, score="AP")
    exact = table_of_steps(names, list(map(result_of, (0.25, 0.5, 0.375))))  # in binary digits, so that sums are exact
    *changes, whole = [cell.difference.mean for cell in exact.cells[1:]]
    assert sum(changes) == pytest.approx(whole, abs=1e-12) == pytest.approx(0.125)


def test_the_command_asks_for_the_steps_prints_and_draws(davis_root, tmp_path, monkeypatch, capsys, recorded):
    """Its ends may be a published row."""
    ran = []

    def scored(jobs, output):
        ran.extend(job.benchmark.protocol.name for job in jobs)
        scores = (0.3, 0.5, 0.4)
        return nullcontext({job: result_of(score) for job, score in zip(jobs, scores[: len(jobs)], strict=True)})

    monkeypatch.setattr("vidcorr.experiments.reports.bridge.run_missing", scored)
    words = ["bridge", "crw-r18", "crw+temperature=0.2+topk=3", "raw_colour", "--on", f"davis={davis_root}"]
    words += ["--change", "radius=3", "--output", str(tmp_path), "--order", "topk,temperature"]
    main([*words, "--picture", str(tmp_path / "b.png"), "--format", "md", "--no-intervals"])
    first, last = "crw+radius=3", "crw+radius=3+temperature=0.2"
    assert ran == [first, f"{first}+topk=3", f"{last}+topk=3"]
    assert capsys.readouterr().out.replace(str(tmp_path), "OUT").splitlines() == recorded["printed"]
    assert (tmp_path / "b.png").is_file()
    main([*words, "--format", "md"])
    assert "+20.0 [+16.1, +23.9]" in capsys.readouterr().out  # of the first step
    assert (tmp_path / "bridge.png").is_file()
    monkeypatch.setattr("vidcorr.experiments.reports.bridge.run_missing", lambda jobs, output: nullcontext({}))
    assert "another process runs some" in refusal(*words)


def test_what_a_benchmark_lacks_is_refused_by_name(davis_root):
    on = ["raw_colour", "--on", f"davis={davis_root}"]
    needs = "border must be .*; change fields that need each other --together"
    assert re.search(needs, refusal("bridge", "vfs+topk=none", "liir-reference", *on, "--order", "border"))
    assert "name one benchmark" in refusal("bridge", "vfs", "dino", *on, "--protocol", "vfs")
    assert "one value of --change" in refusal("bridge", "vfs", "dino", *on, "--stage", "a", "b")
