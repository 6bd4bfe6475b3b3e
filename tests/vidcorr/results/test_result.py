"""A result equals what was saved of it, and a damaged one is refused in one line that names the file and the field.

Also tests `results/checked.py`, `results/csv_files.py`.
"""

import csv
import json
import math

import pytest

from tests.helpers.refusal import refused
from tests.helpers.runs import davis_result
from vidcorr import Result
from vidcorr.results.provenance import Provenance
from vidcorr.results.records import results_below
from vidcorr.results.result import Evaluated, Network, Protocol, Row, Stage

PROTOCOL = Protocol(name="vfs", digest="d1", fields={"radius": 12, "sizes": (480, None)})
FULL = Result(
    benchmark="davis",
    network=Network(name="ResNet-18", weights="random weights", seed=3, loaded=False, digest="ab"),
    scores={"J-Mean": 0.1 + 0.2, "J-Decay": math.nan},
    stage=Stage(layer="res4", stride=8, protocol=PROTOCOL),
    sequences=["bike", "dog\udcff"],
    data={"split": "val", "rules": {"name": "davis-2017"}, "undefined": float("nan")},
    seconds=1.5,
    history=[Evaluated(epoch=1, step=4, scores={"J-Mean": math.nan})],
    headline=["J-Mean"],
    provenance=Provenance.now(),
    rows=[
        Row(video="bike", object="1", values={"J-Mean": 0.2, "Category": "=x", "Unseen": True}),
        Row(video="dog\udcff", object="1", values={"J-Mean": math.nan, "Category": "", "Unseen": False}),
    ],
)


def test_a_saved_result_is_read_back_equal(tmp_path):
    FULL.save(tmp_path / "run")
    for path in (tmp_path / "run", tmp_path / "run" / "results.json"):
        assert Result.load(path) == FULL
    assert results_below(tmp_path) == {tmp_path / "run": FULL}
    assert str(FULL).startswith("Result(davis, ResNet-18")
    assert str(FULL).endswith("2 sequences: J-Mean 30.0)")
    text = (tmp_path / "run" / "results.json").read_text()
    assert "NaN" not in text
    json.loads(text, parse_constant=pytest.fail)
    rows = list(csv.reader((tmp_path / "run" / "per_sequence.csv").open(errors="surrogateescape", newline="")))
    assert rows[:2] == [["Sequence", "J-Mean", "Category", "Unseen"], ["bike_1", "0.2", "=x", "True"]]
    assert rows[2][:2] == ["dog\udcff_1", ""]


def test_results_are_written_last_and_hold_the_rows(tmp_path, monkeypatch):
    """A stop between two files leaves no result, so that the evaluation is run again."""
    written = []

    def stop(path, text):
        written.append(path.name)
        raise KeyboardInterrupt

    monkeypatch.setattr("vidcorr.results.result.write_atomically", stop)
    with pytest.raises(KeyboardInterrupt):
        FULL.save(tmp_path)
    assert written == ["per_sequence.csv"]


def test_values_of_objects_are_those_of_their_video():
    assert FULL.values("J-Mean") == {"bike": [0.2], "dog\udcff": [pytest.approx(math.nan, nan_ok=True)]}
    assert FULL.values("F-Mean") == FULL.values("Category") == {}
    j_and_f = {"bike": [0.5, 0.7], "two_dogs": [0.9, 0.7], "two": [0.1, 0.1]}
    rows = [Row(video=video, object="1", values={"J-Mean": j, "F-Mean": f}) for video, (j, f) in j_and_f.items()]
    rows[-1] = rows[-1].model_copy(update={"object": "dogs_2"})  # its name is that of the second of two dogs
    found = FULL.model_copy(update={"rows": rows}).values("J&F-Mean")
    assert found == {"bike": [pytest.approx(0.6)], "two_dogs": [pytest.approx(0.8)], "two": [pytest.approx(0.1)]}


def test_other_data_of_as_many_sequences_are_not_the_test_set():
    def on_test_set(benchmark="davis", sequences=30, limit_sequences=None, **changes):
        data = {"year": 2017, "split": "val", "resolution": "480p"} | changes
        names = list(map(str, range(sequences)))
        found = davis_result(benchmark=benchmark, sequences=names, data=data, limit_sequences=limit_sequences)
        return found.on_test_set

    assert on_test_set() is True
    others = {"sequences": 29, "year": 2016, "split": "train", "resolution": "Full-Resolution", "limit_sequences": 30}
    assert [on_test_set(**{key: value}) for key, value in others.items()] == [False] * 5


def changed(**fields):
    return json.dumps(json.loads(davis_result().model_dump_json()) | fields).encode()


DAMAGED = {
    "deep": (b"[" * 50000, "recursion"),
    "a score as text": (changed(scores={"J": "0.5"}), "scores.J"),
    "an unknown field": (changed(scorez={}), "scorez"),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_damage_is_one_line_with_file_and_field(tmp_path, damage):
    content, field = DAMAGED[damage]
    (tmp_path / "results.json").write_bytes(content)
    expected = r"results\.json: is not a results\.json of a benchmark, or damaged"
    assert field in refused(ValueError, expected, Result.load, tmp_path)
