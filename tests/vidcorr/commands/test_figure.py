"""`vidcorr figure`: rows of methods and the truth, columns of frames, for every kind of sequence."""

import csv
import shutil

import numpy as np
import pytest
from PIL import Image

from cli import main
from tests.helpers.benchmark_data import WRITERS, data_for
from tests.helpers.runs import write_results
from tests.helpers.words import SMALL, refusal
from vidcorr.datasets.jhmdb import JOINTS
from vidcorr.experiments.configured import read_on
from vidcorr.experiments.figure import Joints, Masks, drawing_of, figure_of
from vidcorr.results.pictures.figure import FigureBlock, method_figure
from vidcorr.videos.files import write_ids
from vidcorr.videos.masks import davis_palette

TRACKED = sorted(WRITERS.keys() - {"spair", "otb"})
"""Configs that follow something through videos; otb_all is otb without its list of a hundred sequences."""


def evaluated(config, root):
    """Evaluate raw colour on the data of a config; return the benchmark, `--on` and the folder of the result."""
    on = f"{config}={data_for(config, root)}"
    benchmark = read_on([on])[0].build()
    folder = root / "raw"
    benchmark.evaluate("raw_colour", folder)
    return benchmark, on, folder


def write_truth(drawing, folder):
    """Write the annotation of a sequence over the predictions of a result."""
    sequence = drawing.sequence
    predictions = folder / drawing.kind / "predictions"
    if isinstance(drawing, Masks):
        for t in set(drawing.predicted) & set(sequence.masks):
            path = predictions / sequence.video / sequence.folder / f"{sequence.frames[t].stem}.png"
            write_ids(path, sequence.read_mask(t).numpy(), davis_palette())
    elif isinstance(drawing, Joints):
        path = predictions / f"{sequence.name}.csv"
        rows = [["frame", "joint", "x", "y"]]
        for frame, points in zip(sequence.frames, sequence.points.tolist(), strict=True):
            rows += [[frame.stem, joint, x, y] for joint, (x, y) in zip(JOINTS, points, strict=True)]
        csv.writer(path.open("w", newline="")).writerows(rows)
    elif path := next(predictions.glob(f"{sequence.name}.txt"), None):
        np.savetxt(path, sequence.boxes, delimiter=",")
    else:
        path = predictions / f"{sequence.name}.npz"
        arrays = dict(np.load(path))
        truth = {"tracks": arrays["target_points"], "occluded": arrays["target_occluded"]}
        np.savez(path, **arrays | truth)


@pytest.mark.slow
@pytest.mark.parametrize("config", TRACKED)
def test_a_prediction_that_equals_the_truth_is_drawn_as_the_truth(config, tmp_path):
    benchmark, on, folder = evaluated(config, tmp_path)
    perfect = shutil.copytree(folder, tmp_path / "perfect")
    sequence = benchmark.sequences[0]
    drawing = drawing_of(sequence)
    write_truth(drawing, perfect)
    frames = sorted(drawing.predicted)
    if isinstance(drawing, Masks):
        frames = sorted(set(frames) & set(drawing.sequence.masks))
    (block,) = figure_of([f"Perfect={perfect}", folder], [sequence.name], frames, on)
    assert list(block.rows) == ["Perfect", "raw_colour", "truth"]
    assert block.heads == [f"{sequence.name}, frame {frames[0]}", *(f"frame {t}" for t in frames[1:])]
    for found, truth in zip(block.rows["Perfect"], block.rows["truth"], strict=True):
        np.testing.assert_array_equal(found, truth)
    pairs = zip(block.rows["raw_colour"], block.rows["truth"], strict=True)
    assert any(not np.array_equal(found, truth) for found, truth in pairs)


@pytest.fixture(scope="module")
def davis(tmp_path_factory):
    """A result on DAVIS: `--on`, its folder."""
    root = tmp_path_factory.mktemp("figure")
    on = f"davis={data_for('davis', root)}"
    benchmark = read_on([on])[0].build(changes=SMALL)
    benchmark.evaluate("raw_colour", root / "raw")
    return on, root / "raw"


@pytest.mark.slow
@pytest.mark.parametrize(("name", "head"), [("out/rows.png", b"\x89PNG"), ("rows.pdf", b"%PDF")])
def test_the_command_writes_png_and_pdf(davis, tmp_path, capsys, name, head):
    on, folder = davis
    file = tmp_path / name
    main(["figure", f"A={folder}", f"B={folder}", "--on", on, "--frames", "0", "2", "3", "--output", str(file)])
    assert file.read_bytes().startswith(head)
    assert capsys.readouterr().out == f"{file}: 2 sequence(s), 3 rows\n"
    if file.suffix == ".png":
        assert Image.open(file).height == 2 * (32 + 3 * 324)


def test_names_stand_beside_the_rows_and_heads_above_the_columns():
    red = np.full((10, 20, 3), (255, 0, 0), np.uint8)
    blocks = [FigureBlock(["first", "second"], {"A": [red, red], "a longer name": [red, red]})]
    sheet = method_figure(blocks, width=40)
    is_red = (sheet == (255, 0, 0)).all(-1)
    rows, columns = np.flatnonzero(is_red.any(1)), np.flatnonzero(is_red.any(0))
    margin = columns[0]
    assert (rows[0], columns.tolist()) == (32, [*range(margin, margin + 40), *range(margin + 44, margin + 84)])
    assert rows.tolist() == [*range(32, 52), *range(56, 76)]
    is_ink = sheet.sum(-1) < 200
    assert is_ink[:32, margin : margin + 40].any()
    assert is_ink[:32, margin + 44 :].any()
    widths = [np.flatnonzero(is_ink[top : top + 20, :margin].any(0)).max() for top in (32, 56)]
    assert widths[0] < 20 < widths[1] < margin - 4


@pytest.mark.slow
def test_frames_without_annotation_are_grey(davis):
    on, _ = davis
    drawing = drawing_of(read_on([on])[0].build().sequences[0])
    del drawing.sequence.masks[2]
    grey = drawing.truth(2)
    assert np.ptp(grey.astype(int), axis=2).max() == 0
    assert np.ptp(drawing.truth(1).astype(int), axis=2).max() > 0


def test_each_mistake_is_one_line(davis, tmp_path):
    on, folder = davis
    words = ["figure", folder, "--on", on, "--output", tmp_path / "figure.png"]
    unknown = refusal(*words, "--sequences", "synthetic-0000")
    assert "--sequences synthetic-0000: --on davis=" in unknown
    assert "did you mean synthetic-000? it has synthetic-000, synthetic-001" in unknown
    assert "--frames 4: synthetic-000 has 4 frames, 0 to 3" in refusal(*words, "--frames", "1", "4")
    assert "--frames -1: synthetic-000" in refusal(*words, "--frames=-1")
    assert "figure.svg: a figure is written as .png or .pdf" in refusal(*words[:-1], "figure.svg")
    assert "--width 3: expected at least 16" in refusal(*words, "--width", "3")
    assert "--width 99999: expected at most 4096" in refusal(*words, "--width", "99999")
    assert f"{tmp_path / 'none'}: no results.json" in refusal("figure", tmp_path / "none")
    other = write_results(tmp_path / "vip", {"mIoU": 0.5}, benchmark="vip")
    assert "figure: results of davis, vip; a figure shows one benchmark" in refusal("figure", other, *words[1:])
    bare = tmp_path / "bare"
    bare.mkdir()
    shutil.copy(folder / "results.json", bare)
    path = bare / "predictions/synthetic-000/00000.png"
    assert f"{path}: no such file; raw_colour has no prediction of it" in refusal("figure", bare, *words[2:])
    pairs = data_for("spair", tmp_path)
    read_on([f"spair={pairs}"])[0].build(changes={"input_size": 64}).evaluate("raw_colour", tmp_path / "pairs")
    assert "not pairs of images" in refusal("figure", tmp_path / "pairs", "--on", f"spair={pairs}")
    assert not (tmp_path / "figure.png").exists()


def test_predictions_of_another_size_than_the_annotations_are_refused(davis, tmp_path):
    on, folder = davis
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    for path in (other / "predictions").rglob("*.png"):
        mask = Image.open(path)
        mask.resize((mask.width // 2, mask.height // 2), Image.Resampling.NEAREST).save(path)
    words = ["--on", on, "--output", tmp_path / "figure.png"]
    message = refusal("figure", folder, other, *words)
    assert f"{other}/predictions/synthetic-000/00000.png: a mask of " in message
    assert "name the data that were evaluated by --on" in message
    assert not (tmp_path / "figure.png").exists()
