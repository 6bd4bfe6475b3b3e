"""`vidcorr score`: its flags reach the rules; the scores themselves are tested in tests/vidcorr/scoring."""

import json
import math
from pathlib import Path
from unittest.mock import Mock

import pytest

from tests.helpers.runs import davis_result
from tests.helpers.words import refusal
from vidcorr.cli import main
from vidcorr.results.result import Row

WORDS = ["score", "truth", "mine"]
META = '{"videos": {"a": {"objects": {"1": {"category": "dog"}, "2": {"category": "cat"}}}}}'


@pytest.fixture
def scored(monkeypatch, here):
    """Calls of the functions that score, in a folder with lists of names and metadata."""
    for name in ("dog", "bird"):
        Path(f"{name}.txt").write_text(f"{name}\n")
    Path("meta.json").write_text(META)
    values = {"J-Mean": 0.5, "F-Mean": 0.25, "frames": 3}
    undefined = values | {"F-Mean": math.nan}
    rows = [Row(video="a", object="1", values=values), Row(video="b", values=undefined)]
    data = {"missing_videos": ["c", "d"], "rules": {"name": "davis-2017"}}
    result = davis_result({"J&F-Mean": 0.25}, rows=rows, data=data)
    functions = Mock(**{f"{name}.return_value": result for name in ("score", "score_boxes", "score_tracks")})
    for name, module in (("score", "mask_scores"), ("score_boxes", "tracks"), ("score_tracks", "tracks")):
        monkeypatch.setattr(f"vidcorr.scoring.{module}.{name}", getattr(functions, name))
    for name in ("Otb", "TapVid"):
        monkeypatch.setattr(f"vidcorr.datasets.{name}", lambda root, **_: root)
    return functions


def test_flags_choose_rules_names_and_files(scored, capsys, recorded):
    """The record: words → the function that is called, and its arguments."""
    found = {}
    for words in recorded:
        scored.reset_mock()
        main([*WORDS, *words.split()])
        ((name, arguments, options),) = scored.mock_calls
        found[words] = [name, *map(str, arguments), {key: str(value) for key, value in options.items()}]
        if "unseen" in options:
            found[words][-1]["unseen"] = sorted(options["unseen"])
    assert found == recorded
    said = capsys.readouterr().out
    assert said.count("25.0") == said.count("left out, for want of predictions or objects: c, d\n") == len(recorded)
    youtube_vos = ["--rules", "youtube-vos", "--meta", "meta.json"]
    for more in ([], ["--unseen=bird.txt"]):
        assert "must name unseen categories of meta.json" in refusal(*WORDS, *youtube_vos, *more)
    for flag in ("--meta=a", "--unseen=a", "--list=a", "--keep-ends", "--allow-missing"):
        for kind in ("--boxes", "--tracks=first"):
            assert "--boxes and --tracks take no --meta" in refusal(*WORDS, kind, flag)
    assert "--boxes is told by the benchmark of --on" in refusal("score", "P", "--on=otb=O", "--boxes")


def test_scores_are_written_as_a_result(scored):
    main([*WORDS, "--output", "folder"])
    assert json.loads(Path("folder/results.json").read_text())["scores"] == {"J&F-Mean": 0.25}
