"""`vidcorr figure`: rows of methods and the truth, columns of frames.

Also tests `experiments/figure.py`.
"""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from tests.helpers.runs import davis_result, write_results
from tests.helpers.words import SMALL, refusal
from vidcorr import DavisBenchmark
from vidcorr.cli import main
from vidcorr.datasets import MaskSequence
from vidcorr.datasets.generated import write_davis
from vidcorr.experiments.figure import figure_of, lettered
from vidcorr.results.pictures.animations import overlay_masks_small
from vidcorr.results.result import Protocol, Result, Stage
from vidcorr.videos.masks import VOID, davis_palette, read_mask, write_ids


@pytest.fixture(scope="module")
def davis(tmp_path_factory):
    """The benchmark, `--on` and the folder of a result, whose masks are the truth; a frame's truth has void."""
    root = tmp_path_factory.mktemp("figure")
    data = write_davis(root / "davis", 3, frames=8, size=(24, 32))
    benchmark = DavisBenchmark(data, changes=SMALL)
    shutil.copytree(data / "Annotations/480p", root / "raw/predictions")
    file = data / "Annotations/480p/synthetic-000/00003.png"
    ids = read_mask(file).copy()
    ids[:9, :9] = VOID
    write_ids(file, ids, davis_palette())
    stage = Stage(protocol=Protocol.of(benchmark.protocol))
    davis_result({"J-Mean": 0.5}, stage=stage).save(root / "raw")
    return benchmark, f"davis={data}", root / "raw"


def test_a_block_has_a_row_of_names_a_row_of_each_result_and_the_truth(davis, tmp_path, monkeypatch):
    """Pictures of 320 × 240 px below heads of 36 px, right of names of 180 px, with 4 px of white between them."""
    benchmark, on, folder = davis
    sequence = benchmark.sequences[0]
    monkeypatch.setattr(MaskSequence, "annotated", (0, 3))
    picture = figure_of([folder], on, [sequence.name], [0, 3, 5])
    truth = [sequence.read_mask(0), sequence.read_mask(3), torch.zeros(24, 32, dtype=torch.uint8)]
    truth[1][truth[1] == VOID] = 0
    found = []
    for t in (0, 3, 5):
        found.append(torch.from_numpy(read_mask(folder / f"predictions/{sequence.video}/{t:05d}.png")))
    expected = np.full((36 + 4 + 2 * (240 + 4), 180 + 4 + 3 * (320 + 4), 3), 255, np.uint8)
    expected[:36, :180] = lettered(sequence.name, 180, 36)
    for row, (name, masks) in enumerate((("A", found), ("truth", truth))):
        top = 40 + 244 * row
        expected[top : top + 240, :180] = lettered(name, 180, 240)
        for column, (t, mask) in enumerate(zip((0, 3, 5), masks, strict=True)):
            left = 184 + 324 * column
            expected[:36, left : left + 320] = lettered(f"frame {t}", 320, 36)
            expected[top : top + 240, left : left + 320] = overlay_masks_small(sequence.frame(t), mask)
    np.testing.assert_array_equal(picture, expected)


def ink(picture):
    """Return top, bottom, left and right of what is dark."""
    y, x = np.nonzero(picture.min(2) < 128)
    return [int(end) for end in (y.min(), y.max(), x.min(), x.max())]


def test_a_text_stands_in_the_middle_in_lines_of_letters_that_fit():
    found = [ink(lettered(text, 180, 60)) for text in ("rrrrrrrr+rrrrrrrr", "rrrrrrrrr rrrrrrrrr")]
    found.append(ink(lettered("rrrrrrrrrrrrrrr rr rr", 180, 60)[30:]))  # its second line
    for place, expected in zip(found, ([27, 37, 35, 145], [15, 49, 64, 116], [9, 19, 85, 95]), strict=True):
        assert place == pytest.approx(expected, abs=3)


def test_rows_of_different_protocols_state_them(davis, tmp_path, monkeypatch):
    _, on, folder = davis
    lines = []

    def noted(text, *size):
        lines.append(text)
        return lettered(text, *size)

    monkeypatch.setattr("vidcorr.experiments.figure.lettered", noted)
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
    assert (picture.height, picture.width) == (2 * (36 + 4 + 3 * (240 + 4)), 180 + 4 + 2 * (320 + 4))


def test_what_cannot_be_drawn_is_named(davis, tmp_path):
    _, on, folder = davis
    (tmp_path / "bare").mkdir()
    shutil.copy(folder / "results.json", tmp_path / "bare")
    for words, said in (
        ([tmp_path / "bare", "--on", on], "bare/predictions/synthetic-000/00000.png"),
        ([folder, "--on", on, "--sequences", "synthetic-007"], "sequence must be one of 'synthetic-000'"),
        ([folder, "--on", f"jhmdb={tmp_path}"], "figure: jhmdb has no masks"),
        ([tmp_path / "bare/..", "--on", f"davis_2016={tmp_path}"], "figure: no result of"),
    ):
        assert said in refusal("figure", *words, "--output", tmp_path / "figure.png")
