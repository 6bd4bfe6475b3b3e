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


@pytest.mark.slow
def test_every_command_runs_as_it_stands(real_data, tmp_path, monkeypatch, capsys):
    """Two real videos in the folder of the document: five frames each, every other one annotated."""
    for name in ("dog", "camel"):
        for folder, ending, step in (("JPEGImages", "jpg", 1), ("Annotations", "png", 2)):
            (tmp_path / "videos" / folder / name).mkdir(parents=True)
            for t in range(0, 5, step):
                file = real_data("davis") / folder / "480p" / name / f"{t:05d}.{ending}"
                shutil.copy(file, tmp_path / "videos" / folder / name)
    monkeypatch.chdir(tmp_path)
    text = "".join(re.findall(r"^```bash\n(.*?)^```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL))
    said = []
    for line in text.replace("\\\n", " ").splitlines():
        program, *words = shlex.split(line)
        assert program == "vidcorr"
        capsys.readouterr()
        main([found for word in words for found in sorted(glob(word)) or [word]])
        said.append((words[0], capsys.readouterr().out))
    assert [word for word, _ in said] == ["evaluate", "evaluate", "score"]
    (raw,) = tmp_path.glob("mine/raw_colour-vos-*")
    results, scored = (json.loads((folder / "results.json").read_text()) for folder in (raw, tmp_path / "mine/scored"))
    assert 0.7 < results["scores"]["J&F-Mean"] < 1
    assert scored["scores"]["J&F-Mean"] == pytest.approx(results["scores"]["J&F-Mean"], abs=1e-12)
    assert [row["Sequence"] for row in csv.DictReader((raw / "per_sequence.csv").open())] == ["camel_1", "dog_1"]
    assert re.search(r"resnet18.*[+−][\d.]+", said[0][1])
    assert said[1][1].count("\n## vos (") == 3  # a table per protocol
