"""The conditions that tables print: each benchmark states its own; test_numbers.py has the others."""

import pytest

import vidcorr
from tests.helpers.benchmark_data import benchmark_classes
from tests.helpers.words import SMALL


def test_each_benchmark_of_ours_states_its_conditions_itself(davis_root):
    """A class that inherits them would state those of other data, so none are stated."""
    assert all("conditions" in vars(kind) or kind.__name__ == "BadjaBenchmark" for kind in benchmark_classes())

    class Own(vidcorr.DavisBenchmark):
        name = "own"

    own = Own(davis_root, changes=SMALL, limit_sequences=1)
    assert own.evaluate("raw_colour").conditions == ("1 sequences",)


@pytest.mark.parametrize(
    ("benchmark", "facts", "words"),
    [
        (vidcorr.DavisBenchmark("x", split=None, resolution="240p"), {"year": 2017}, ["2017", "all", "240p"]),
        (vidcorr.YoutubeVosBenchmark("x", split="train", all_frames=True), {}, ["train", "all frames"]),
        (vidcorr.VosBenchmark("x", split="a.txt", rules="sa-v", one_object=True), {}, ["a.txt", "sa-v", "one object"]),
        (vidcorr.OtbBenchmark("x"), {}, ["tb100"]),
        (vidcorr.TapVidBenchmark("x"), {"set": "davis"}, ["davis"]),
    ],
)
def test_conditions_name_what_moves_a_score_beside_the_protocol(benchmark, facts, words):
    assert benchmark.conditions(facts) == words
