"""`vidcorr figure`: rows of methods and the truth, columns of frames.

Also tests `experiments/figure.py`.
"""

import shutil

import numpy as np
import pytest
from PIL import Image

from cli import main
from tests.helpers.refusal import refused
from tests.helpers.runs import davis_result, write_results
from tests.helpers.words import SMALL, refusal
from vidcorr import DavisBenchmark
from vidcorr.datasets.generated import write_davis
from vidcorr.experiments.figure import GAP, HEAD, LABEL, figure_of, lettered as picture_of
from vidcorr.results.result import Protocol, Result, Stage
from vidcorr.videos.masks import davis_palette, read_mask, write_ids


@pytest.fixture(scope="module")
def davis(tmp_path_factory):
    """The benchmark, `--on` and the folder of a result, whose masks are the truth, moved; a frame's truth has void."""
    root = tmp_path_factory.mktemp("figure")
    data = write_davis(root / "davis", 3, frames=8, size=(32, 32))
    benchmark = DavisBenchmark(data, changes=SMALL)
    for sequence in benchmark.sequences:
        for t, frame in enumerate(sequence.frames):
            path = root / "raw/predictions" / sequence.video / f"{frame.stem}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_ids(path, np.roll(sequence.read_mask(t).numpy(), 5, axis=1), davis_palette())
    file = data / "Annotations/480p" / benchmark.sequences[0].video / "00003.png"
    ids = read_mask(file).copy()
    ids[:9, :9] = 255
    write_ids(file, ids, davis_palette())
    stage = Stage(protocol=Protocol.of(benchmark.protocol))
    davis_result({"J-Mean": 0.5}, stage=stage).save(root / "raw")
    return DavisBenchmark(data, changes=SMALL), f"davis={data}", root / "raw"


def row_of(picture, row, rows):
    """Return the pictures of a row, below the head and right of the row's name."""
    height = (len(picture) - HEAD - GAP) // rows
    return picture[HEAD + GAP + row * height :, LABEL + GAP :][:height].astype(int)


def test_a_prediction_that_equals_the_truth_is_drawn_as_the_truth(davis, tmp_path):
    benchmark, on, folder = davis
    perfect = shutil.copytree(folder, tmp_path / "perfect")
    sequence = benchmark.sequences[0]
    for t in range(sequence.num_frames):
        path = perfect / "predictions" / sequence.video / f"{sequence.frames[t].stem}.png"
        mask = sequence.read_mask(t)
        write_ids(path, mask.where(mask != 255, 0).numpy(), davis_palette())  # void is drawn as background
    frames = range(2, 5)
    picture = figure_of([f"Perfect={perfect}", folder], on, [sequence.name], frames)
    perfect, raw, truth = (row_of(picture, row, 3) for row in range(3))
    np.testing.assert_array_equal(perfect, truth)
    assert (raw != truth).any()


def test_rows_of_different_protocols_state_them(davis, tmp_path, monkeypatch):
    _, on, folder = davis
    refused(ValueError, "figure: no result of davis", figure_of, [tmp_path], on)
    lines = []

    def lettered(text, *size):
        lines.append(text)
        return picture_of(text, *size)

    monkeypatch.setattr("vidcorr.experiments.figure.lettered", lettered)
    other = shutil.copytree(folder, tmp_path / "other")
    result = Result.load(other)
    stage = result.stage.model_copy(update={"protocol": Protocol(name="dino", digest="d", shared_name="dino")})
    result.model_copy(update={"stage": stage}).save(other)
    figure_of([f"A={folder}", f"B={folder}"], on, ["synthetic-000"], [3])
    figure_of([f"A={folder}", f"B={other}"], on, ["synthetic-000"], [3])
    assert lines[:5] == ["synthetic-000", "frame 3", "A", "B", "truth"]
    assert lines[7:9] == ["A by vfs+context=2+radius=3", "B by dino"]
    lines.clear()
    figure_of([folder], on)  # five of the scored frames, of two sequences
    of_block = [f"frame {t}" for t in (0, 2, 4, 5, 7)]
    assert lines == ["synthetic-000", *of_block, "A", "truth", "synthetic-001", *of_block, "A", "truth"]


def test_the_command_writes_png_and_pdf(davis, tmp_path, capsys):
    """Results of other benchmarks are left out."""
    _, on, folder = davis
    other = write_results(tmp_path / "study/otb", {"success": 0.5}, benchmark="otb")
    shutil.copytree(folder, tmp_path / "study/davis")
    one = ["--sequences", "synthetic-000", "--frames", "0"]
    for name, head, more in (("new/out/rows.png", b"\x89PNG", ["--frames", "0", "3"]), ("rows.pdf", b"%PDF", one)):
        file = tmp_path / name
        main(["figure", f"A={folder}", str(other.parent), "--on", on, "--output", str(file), *more])
        assert file.read_bytes().startswith(head)
        assert capsys.readouterr().out == f"{file}\n"
    picture = Image.open(tmp_path / "new/out/rows.png")
    assert (picture.height, picture.width) == (2 * (HEAD + GAP + 3 * (320 + GAP)), LABEL + GAP + 2 * (320 + GAP))


def test_a_result_without_masks_is_named(davis, tmp_path):
    _, on, folder = davis
    bare = tmp_path / "bare"
    bare.mkdir()
    shutil.copy(folder / "results.json", bare)
    words = ["--on", on, "--output", tmp_path / "figure.png"]
    assert "bare/predictions/synthetic-000/00000.png" in refusal("figure", bare, *words)


def test_a_row_is_named_at_its_left_and_joints_are_refused_by_name(davis, tmp_path):
    benchmark, on, folder = davis
    picture = figure_of([f"Ours={folder}"], on, [benchmark.sequences[0].name], [0, 3])
    name = picture[HEAD + GAP :, :LABEL][:320]
    assert (name.min(), name.max()) == (0, 255)
    assert (picture[HEAD + GAP + 320 :][:GAP] == 255).all()
    words = ["--on", f"jhmdb={tmp_path}", "--output", tmp_path / "figure.png"]
    assert "figure: jhmdb has no masks" in refusal("figure", folder, *words)
