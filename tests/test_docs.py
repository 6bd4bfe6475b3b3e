"""The documents keep their word: marked files are written, marked commands run, as they stand.

In README.md and docs/, a block whose first line ends in `file=NAME` is a file to save, one that ends in `run` commands.
They run in a copy of a checkout after `make demo`, made small: fewer and smaller videos, and a step or two of training.
If the next block is `text`, it is what the commands print, to the last digit; they then run in full.
The notebook has run as it is stored, and runs.
"""

import csv
import json
import re
import runpy
import shlex
import tempfile
from glob import glob
from itertools import pairwise
from pathlib import Path

import pytest

from tests.helpers.words import flags
from vidcorr.cli import main

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), ROOT / "configs" / "README.md", *(ROOT / "docs").glob("*.md")])
BLOCK = re.compile(r"^```(\w+) *(\S*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
MARK = re.compile("run$|file=")
SHORT = {"validate": ["--trainer.accelerator=cpu", "--limit=1"], "evaluate": ["--limit=2"]}
SHORT["fit"] = flags("trainer", max_epochs=1, max_steps=2, accelerator="cpu", precision=32)
SHORT["fit"] += flags("data", batch_size=2, num_workers=0, size=32)
"""Added to a command of training, and to those of measuring."""


def blocks(document):
    """Return (mark, text, what its commands print) of each marked block; an empty text where nothing is said of it."""
    found = [*BLOCK.findall(document.read_text()), ("", "", "")]
    marked = []
    for (_, mark, text), (language, _, printed) in pairwise(found):
        if MARK.match(mark):
            marked.append((mark, text, printed if language == "text" else ""))
    return marked


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A folder as after `git clone` and `make demo`, with a user's videos and masks."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("configs", "docs", "tests"):
        (folder / name).symlink_to(ROOT / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run("vidcorr generate demo/data davis videos")
        run("python cli.py fit --config configs/demo.yaml")
    (folder / "videos").mkdir()
    for kind in ("JPEGImages", "Annotations"):
        (folder / "videos" / kind).symlink_to(folder / "demo/data/davis" / kind / "480p")
    return folder


def run(line, in_full=False):
    """One command of a document, in this process; shortened if it is not to run in full."""
    written = shlex.split(line, comments=True)
    words = [found for word in written for found in sorted(glob(word)) or [word]]
    if words[0] == "python" and words[1] != "cli.py":
        runpy.run_path(words[1], run_name="__main__")
        return
    words = words[2:] if words[0] == "python" else words[1:]
    counts = ["--data.videos=6", "--data.benchmark_videos=2", "--data.point_videos=1"]
    demo = [*counts, "--data.frames_per_video=6", "--data.video_size=64"]
    short = [] if in_full else SHORT.get(words[0], [])
    main([*words, *short, *(demo if "configs/demo.yaml" in words else [])])


MARKED = [path for path in DOCUMENTS if blocks(path)]


@pytest.mark.slow
@pytest.mark.parametrize("document", MARKED, ids=[path.name for path in MARKED])
def test_marked_blocks_run(document, checkout, monkeypatch, caplog, capsys):
    monkeypatch.chdir(checkout)
    monkeypatch.syspath_prepend(str(checkout))
    for mark, text, printed in blocks(document):
        if mark == "run":
            capsys.readouterr()
            for line in text.replace("\\\n", " ").splitlines():
                run(line, in_full=bool(printed))
            assert printed in capsys.readouterr().out
        else:
            if "import pandas" in text:  # of the group `dev`
                pytest.importorskip("pandas")
            Path(mark.removeprefix("file=")).write_text(text)
    assert not [record.message for record in caplog.records if record.levelname == "ERROR"]  # benchmarks that failed


def anchors(document):
    """Return the anchors of a document: those of its headings and of its `<a id>`."""
    text = document.read_text()
    heads = re.findall(r"^#+ (.+)", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M)
    slugs = {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}
    return slugs | set(re.findall(r'<a\s+id="([^"]+)"', text))


def test_what_a_document_points_to_exists():
    missing = []
    for document in DOCUMENTS:
        text = document.read_text()
        links = re.findall(r"\]\((?!http)([^)#]*)#?([^)]*)\)", text)
        targets = [(document.parent / target if target else document, anchor) for target, anchor in links]
        targets += [(ROOT / config, "") for config in re.findall(r"\bconfigs/[\w/]+\.yaml", text)]
        for target, anchor in targets:
            if not target.exists() or (anchor and anchor not in anchors(target)):
                missing.append(f"{document.name} points to {target}#{anchor}")
    assert not missing


def test_files_of_a_benchmark_run_hold_what_the_documents_say(davis_run):
    text = (ROOT / "docs/library.md").read_text()
    files = re.findall(r"^\| `([\w./]+)` \|", text.partition("## Files of a benchmark run")[2], re.M)
    _, _, folder = davis_run
    assert {path.name for path in folder.iterdir()} == {name.rstrip("/") for name in files}


README = (ROOT / "README.md").read_text()


def test_the_scores_of_the_readme_stand_in_the_results():
    results = (ROOT / "docs/results.md").read_text().partition("## Sequences that no choice saw")[2]
    rows = re.findall(r"^\| ([^|(]+)[^|]* \| (\d\d\.\d)", README.partition("## Score")[2], re.M)
    assert len(rows) == 4
    for name, score in rows:
        assert re.search(rf"^\| `davis_240p` \| {re.escape(name.strip())} \| {score} ", results, re.M), name
    (recipe,) = re.findall(r"has (\d\d\.\d) there by the protocol `vidcorr`", README)
    assert re.search(rf"^\| `vidcorr`, 480p \| `vidcorr-r18` \| {recipe} ", results, re.M)


def test_every_command_of_the_readme_runs_but_for_the_two_that_set_up():
    """`make demo` is what the tests themselves stand on."""
    commands = re.findall(r"^```(bash|sh[^\n]*)\n(.*?)^```", README, re.M | re.S)
    others = [text for kind, text in commands if kind != "sh run"]
    assert [line.partition("#")[0].strip() for text in others for line in text.splitlines()] == [
        "make demo",
        "source .venv/bin/activate",
    ]
    assert len(README.split()) <= 900
    assert (ROOT / "docs/real-video/film.webp").stat().st_size < 2e6


def test_the_scores_of_each_sequence_have_the_means_of_the_results():
    line = re.search(r"^\| `vidcorr-r18`, res4 \|.*\| (\S+) \| (\S+) \|$", (ROOT / "docs/results.md").read_text(), re.M)
    for score, benchmark in zip(line.groups(), ("davis", "davis_240p"), strict=True):
        lines = (ROOT / f"docs/results/per_sequence/vidcorr-r18-{benchmark}.csv").read_text().splitlines()
        means = [float(row[key]) for row in csv.DictReader(lines) for key in ("J-Mean", "F-Mean")]
        assert f"{100 * sum(means) / (2 * 8):.1f}" == score


TOUR = ROOT / "docs/tour.ipynb"
CELLS = [cell for cell in json.loads(TOUR.read_text())["cells"] if cell["cell_type"] == "code"]
SHORT_TOUR = {"videos=24": "videos=4", "repeat=4": "repeat=2", "max_epochs=3": "max_epochs=1"}
SHORT_TOUR |= {"every_n_epochs=3": "every_n_epochs=1", "frames_per_video=16": "frames_per_video=8"}
SHORT_TOUR |= {"    size=96": "    size=48", "video_size=192": "video_size=96"}
"""Text of the notebook → text of its quick run."""


def test_the_tour_is_stored_as_it_ran():
    assert [cell["execution_count"] for cell in CELLS] == list(range(1, len(CELLS) + 1))
    outputs = [output for cell in CELLS for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error"]


@pytest.mark.slow
def test_the_cells_of_the_tour_run(tmp_path, monkeypatch, caplog):
    """In this process: they hold plain Python."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    caplog.set_level("INFO", "pytorch_lightning")  # the notebook changes it; caplog sets it back
    script = "\n".join("".join(cell["source"]) for cell in CELLS)
    for long, short in SHORT_TOUR.items():
        assert script.count(long) == 1, long
        script = script.replace(long, short)
    exec(script, {})
