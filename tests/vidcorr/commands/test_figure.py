"""`vidcorr figure`: rows of methods and the truth, columns of frames."""

import shutil

import numpy as np
import pytest
from PIL import Image

from cli import main
from tests.helpers.benchmark_data import data_for
from tests.helpers.runs import write_results
from tests.helpers.words import SMALL, refusal
from vidcorr import DavisBenchmark, Result, VosBenchmark
from vidcorr.experiments.figure import figure_of
from vidcorr.results.result import Protocol
from vidcorr.videos.files import write_ids
from vidcorr.videos.masks import davis_palette


@pytest.fixture(scope="module")
def davis(tmp_path_factory):
    """The benchmark, `--on` and the folder of a result."""
    root = tmp_path_factory.mktemp("figure")
    data = data_for("davis", root)
    benchmark = DavisBenchmark(data, changes=SMALL)
    benchmark.evaluate("raw_colour", root / "raw")
    return benchmark, f"davis={data}", root / "raw"


def row_of(picture, row, rows):
    """Return a row of the pictures of a block, without the names beside."""
    height = (len(picture) - 32 - 4 * (rows - 1)) // rows
    return picture[32 + row * (height + 4) :][:height, -1000:].astype(int)


def test_a_prediction_that_equals_the_truth_is_drawn_as_the_truth(davis, tmp_path):
    benchmark, on, folder = davis
    perfect = shutil.copytree(folder, tmp_path / "perfect")
    sequence = benchmark.sequences[0]
    for t in range(sequence.num_frames):
        path = perfect / "predictions" / sequence.video / f"{sequence.frames[t].stem}.png"
        write_ids(path, sequence.read_mask(t).numpy(), davis_palette())
    frames = range(sequence.num_frames)
    picture = figure_of([f"Perfect={perfect}", folder], [sequence.name], frames, on)
    perfect, raw, truth = (row_of(picture, row, 3) for row in range(3))
    np.testing.assert_array_equal(perfect, truth)
    assert (raw != truth).any()


def test_results_of_labelled_videos_are_drawn(tmp_path):
    """Their result states the source of the rules beside the rules' name."""
    root = data_for("vos", tmp_path / "data")
    VosBenchmark(root, changes=SMALL).evaluate("raw_colour", tmp_path / "vos")
    assert figure_of([tmp_path / "vos"], (), (), f"vos={root}").shape[2] == 3


def test_different_protocols_are_said_in_the_picture_and_the_log(davis, tmp_path, capsys):
    _, on, folder = davis
    other = shutil.copytree(folder, tmp_path / "other")
    result = Result.load(other)
    stage = result.stage.model_copy(update={"protocol": Protocol(name="dino", digest="d", shared_name="dino")})
    result.model_copy(update={"stage": stage}).save(other)
    alike = figure_of([f"A={folder}", f"B={folder}"], (), (), on)
    assert capsys.readouterr().out == ""
    different = figure_of([f"A={folder}", f"B={other}"], (), (), on)
    assert "different protocols: dino, vfs+context=2+radius=3" in capsys.readouterr().out
    assert different.shape[1] > alike.shape[1]  # the names beside the rows have the protocols


@pytest.mark.parametrize(("name", "head"), [("out/rows.png", b"\x89PNG"), ("rows.pdf", b"%PDF")])
def test_the_command_writes_png_and_pdf(davis, tmp_path, capsys, name, head):
    _, on, folder = davis
    other = write_results(tmp_path / "study/otb", {"success": 0.5}, benchmark="otb")
    shutil.copytree(folder, tmp_path / "study/davis")
    file = tmp_path / name
    main(["figure", f"A={folder}", str(other.parent), "--on", on, "--frames", "0", "2", "3", "--output", str(file)])
    assert file.read_bytes().startswith(head)
    assert capsys.readouterr().out == f"{file}\n"
    if file.suffix == ".png":
        assert Image.open(file).height == 2 * (32 + 3 * 320 + 2 * 4)


def test_each_mistake_is_one_line(davis, tmp_path):
    _, on, folder = davis
    words = ["figure", folder, "--on", on, "--output", tmp_path / "figure.png"]
    bare = tmp_path / "bare"
    bare.mkdir()
    shutil.copy(folder / "results.json", bare)
    assert "bare/predictions/synthetic-000/00000.png" in refusal("figure", bare, *words[2:])
    other = write_results(tmp_path / "vip", {"mIoU": 0.5}, benchmark="vip")
    assert "figure: results of davis, vip; choose one by --on" in refusal("figure", other, folder)
    small = shutil.copytree(folder, tmp_path / "small")
    for path in (small / "predictions").rglob("*.png"):
        mask = Image.open(path)
        mask.resize((mask.width // 2, mask.height // 2), Image.Resampling.NEAREST).save(path)
    assert "another size than the annotation" in refusal("figure", small, *words[2:])
    assert not (tmp_path / "figure.png").exists()
