"""docs/score-your-videos.md, word by word, on real frames with masks on some of them."""

import csv
import json
import re
import shlex
import shutil
from glob import glob
from pathlib import Path

import pytest

from cli import main

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "score-your-videos.md"
FRAMES = 5


def commands():
    """Return the arguments of each command of the document."""
    text = "".join(re.findall(r"^```bash\n(.*?)^```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL))
    return [shlex.split(line) for line in text.replace("\\\n", " ").splitlines()]


@pytest.fixture
def videos(real_data, tmp_path, monkeypatch):
    """Two real videos in the folder of the document: five frames each, every other one annotated."""
    for name in ("dog", "camel"):
        for folder, ending, step in (("JPEGImages", "jpg", 1), ("Annotations", "png", 2)):
            place = tmp_path / "videos" / folder / name
            place.mkdir(parents=True)
            for t in range(0, FRAMES, step):
                source = real_data("davis") / folder / "480p" / name / f"{t:05d}.{ending}"
                shutil.copy(source, place)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_every_command_runs_as_it_stands(videos, capsys):
    said = {}
    for program, *words in commands():
        assert program == "vidcorr"
        capsys.readouterr()
        main([found for word in words for found in sorted(glob(word)) or [word]])
        said[words[0]] = capsys.readouterr().out
    assert list(said) == ["evaluate", "sweep", "score"]
    (raw,) = videos.glob("mine/raw_colour-vos-*")
    results = json.loads((raw / "results.json").read_text())
    assert (len(results["sequences"]), results["stages"][""]["protocol"]["name"]) == (2, "vfs")
    assert 0.7 < results["scores"]["J&F-Mean"] < 1
    scored = json.loads((videos / "mine/scored/results.json").read_text())
    assert scored["scores"]["J&F-Mean"] == pytest.approx(results["scores"]["J&F-Mean"], abs=1e-12)
    with (raw / "per_sequence.csv").open() as file:
        assert [row["Sequence"] for row in csv.DictReader(file)] == ["camel_1", "dog_1"]
    assert (raw / "report.html").is_file()
    assert re.search(r"raw_colour +[\d.]+", said["evaluate"])
    assert re.search(r"resnet18.*[+−][\d.]+", said["evaluate"])
    assert "not tested: fewer than 4 sequences" in said["evaluate"]
    assert "Best 3 of 3 protocols" in said["sweep"]
