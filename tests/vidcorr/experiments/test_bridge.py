"""`vidcorr bridge`: the steps of a walk between two protocols, their scores and their exact sum.

Also tests `commands/bridge.py`, `pictures/waterfall.py`.
"""

import csv
import re
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from cli import main
from tests.helpers.benchmark_data import data_for
from tests.helpers.refusal import refused
from tests.helpers.words import refusal
from vidcorr import DavisBenchmark
from vidcorr.experiments.bridge import exact_difference, steps_between
from vidcorr.protocols import JointProtocol, MatchingProtocol, PointProtocol, PropagationProtocol
from vidcorr.results.records import results_below

VFS = PropagationProtocol.named("vfs")


def test_steps_are_the_fields_in_their_order_or_in_another():
    """The features set their stride, so it is no step."""
    crw = PropagationProtocol.named("crw", changes={"feature_stride": 16})
    fields = ["temperature", "first_frame_masked", "repeat_first", "label_encoding", "label_rescaling"]
    assert steps_between(VFS, crw) == [(field,) for field in fields]
    steps = steps_between(VFS, crw, ["repeat_first"], ["label_rescaling,temperature"])
    together = ("label_rescaling", "temperature")
    assert steps == [("repeat_first",), together, ("first_frame_masked",), ("label_encoding",)]
    refused(ValueError, "field must be one of .*'radius'", steps_between, VFS, crw, ["radius"])
    refused(ValueError, "vfs and vfs do not differ", steps_between, VFS, VFS)


def test_differences_sum_to_the_last_bit_of_any_scores():
    """A float cannot hold each difference: 0.9 - 0.3 has 54 bits."""
    for seed in range(200):
        scores = np.random.default_rng(seed).random(12).tolist()
        steps = [exact_difference(after, before) for before, after in pairwise(scores)]
        assert sum(map(Fraction, steps)) == Fraction(scores[-1]) - Fraction(scores[0])
    assert type(exact_difference(0.71, 0.69)) is float
    assert any(type(exact_difference(0.9 + k / 997, 0.3)) is Decimal for k in range(50))


"""Benchmark → class of its protocols, first and last protocol."""
KINDS = {
    "davis": (PropagationProtocol, "vfs", "vfs+topk=5+context=3"),
    "jhmdb": (JointProtocol, "vfs", "vfs+topk=5+keypoint_topk=3"),
    "tap_vid": (PointProtocol, "fomo", "fomo+temperature=0.1+decoding=topk"),
    "spair": (MatchingProtocol, "probe3d+pairs=all", "probe3d+pairs=all+answer=centre+sampling=floor"),
}
SMALL = {"davis": ["radius=3"], "jhmdb": ["input_size=64"], "tap_vid": ["input_size=64"], "spair": ["input_size=64"]}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_walk_ends_at_the_score_of_the_last_protocol(kind, tmp_path, capsys):
    """Masks, joints, points and pairs; a second walk scores nothing again."""
    _, start, end = KINDS[kind]
    on = f"{kind}={data_for(kind, tmp_path)}"
    words = ["bridge", start, end, "raw_colour", "--on", on, "--change", *SMALL[kind], "--limit", "2"]
    words += ["--output", str(tmp_path / "out"), "--picture", str(tmp_path / "bridge.png"), "--format", "csv"]
    main(words)
    said = capsys.readouterr().out
    assert said.startswith("3 evaluations, 0 more are stored; about ")
    lines = list(csv.DictReader(said[said.index("row,column,") :].splitlines()[:5]))
    assert [line["row"].partition(":")[0] for line in lines] == [start, *(step for (step,) in _steps(kind)), end]
    results = {result.stage.protocol.name: result for result in results_below(tmp_path / "out").values()}
    assert len(results) == 3
    scores = [float(line["mean"]) for line in lines]
    assert scores[2] == scores[3]
    steps = [Fraction(float(line["difference"])) for line in lines[1:]]
    assert sum(steps[:-1]) == steps[-1] == Fraction(scores[-1]) - Fraction(scores[0])
    assert Image.open(tmp_path / "bridge.png").width == 1800
    main(words)
    assert capsys.readouterr().out.startswith("0 evaluations, 3 more are stored")


def _steps(kind):
    protocol, start, end = KINDS[kind]
    benchmark = None if kind == "davis" else kind
    return steps_between(protocol.named(start, benchmark), protocol.named(end, benchmark))


@pytest.mark.slow
def test_each_step_alone_and_a_published_rows_protocol(davis_root, tmp_path, capsys):
    words = ["bridge", "crw-r18", "crw+temperature=0.2+topk=3", "raw_colour", "--on", f"davis={davis_root}"]
    words += ["--change", "radius=3", "--limit", "1", "--alone", "--output", str(tmp_path)]
    main([*words, "--picture", str(tmp_path / "b.png"), "--format", "md"])
    said = capsys.readouterr().out
    assert "## davis (radius=3, 2017, val, 1 sequences)\n\n|  | J&F-Mean | J&F-Mean, alone |" in said
    assert "| topk: 10 → 3 |" in said
    alone = DavisBenchmark(davis_root, protocol="crw+radius=3+temperature=0.2", limit_sequences=1)
    expected = f"{100 * alone.evaluate('raw_colour').scores['J&F-Mean']:.1f}"
    row = next(line for line in said.splitlines() if line.startswith("| temperature: 0.05 → 0.2 |"))
    assert row.split("|")[3].strip().startswith(expected)
    assert "The steps sum exactly to the whole" in said
    assert len(results_below(tmp_path)) == 4  # of the start, two steps, and the second one alone


def test_what_a_benchmark_lacks_is_refused_by_name(davis_root):
    on = ["raw_colour", "--on", f"davis={davis_root}"]
    needs = "border must be .*; change fields that need each other --together"
    assert re.search(needs, refusal("bridge", "vfs+topk=none", "liir-reference", *on, "--order", "border"))
    assert "name one benchmark" in refusal("bridge", "vfs", "dino", "raw_colour")
