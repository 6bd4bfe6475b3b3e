"""What is pointed at in the first frame of a video is found in all of it, and written down."""

import csv
import gc
import json
import weakref

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from callbacks import DavisBenchmark, predict_video, propagate_masks, propagate_points, track_box
from callbacks.metrics import region_similarity
from cli import main
from datamodules import BoxPrompt, FrameStream, MaskPrompt, PointPrompt
from datamodules.errors import DataError
from datamodules.synthetic import render_video
from datamodules.synthetic.writers import write_frames, write_masks, write_mp4
from lightning_modules import FrozenEncoder
from lightning_modules.backbones import build_feature_extractor
from lightning_modules.functional import PropagationProtocol

FRAMES, RATE = 10, 12


@pytest.fixture(scope="module")
def scene():
    """A plainly coloured sprite that moves, and its masks."""
    return render_video(seed=7, index=0, frames=FRAMES, size=(96, 130), sprites=(1, 1), camouflage=0)


@pytest.fixture(scope="module")
def folder(scene, tmp_path_factory):
    """The scene as a folder of frames, as a video and with the mask of its first frame."""
    root = tmp_path_factory.mktemp("scene")
    video, masks = scene
    write_frames(root / "frames", video, [f"{t:03d}.png" for t in range(FRAMES)])
    write_mp4(root / "clip.mp4", video, rate=RATE)
    write_masks(root / "masks", {"first": masks[0]})
    return root


@pytest.fixture
def colour():
    """Raw colour in cells of 4 px."""
    return build_feature_extractor("raw_colour", stride=4)


def tensors(video):
    return torch.from_numpy(video).permute(0, 3, 1, 2)


def bounds(mask):
    rows, columns = np.argwhere(mask.any(1)).ravel(), np.argwhere(mask.any(0)).ravel()
    return np.array([columns[0], rows[0], columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0]], float)


def test_a_plain_sprite_is_followed(scene):
    video, masks = scene
    colour = build_feature_extractor("raw_colour", stride=2)
    found = torch.stack([mask for _, mask in propagate_masks(colour, tensors(video), masks[0])])
    assert torch.equal(found[0], torch.from_numpy(masks[0]))
    scores = region_similarity(found == 1, torch.from_numpy(masks) == 1)
    assert scores.mean() > 0.9
    still = region_similarity(found[:1].expand(FRAMES, -1, -1) == 1, torch.from_numpy(masks) == 1)
    assert still.mean() < 0.6  # it does move


def test_masks_are_those_of_the_benchmark(davis_root, tmp_path):
    colour = build_feature_extractor("raw_colour")
    DavisBenchmark(davis_root, limit_sequences=1).evaluate(colour, tmp_path / "benchmark")
    (expected,) = (tmp_path / "benchmark" / "predictions").iterdir()
    frames = davis_root / "JPEGImages" / "480p" / expected.name
    first = davis_root / "Annotations" / "480p" / expected.name / "00000.png"
    predict_video(colour, frames, MaskPrompt.of(first), tmp_path / "ours", "vfs", overlay="none")
    for path in sorted(expected.iterdir()):
        ours = Image.open(tmp_path / "ours" / "masks" / path.name)
        assert np.array_equal(np.array(ours), np.array(Image.open(path)))


def test_a_folder_of_frames_is_as_good_as_the_frames(scene, folder, colour):
    video, masks = scene
    ways = [propagate_masks(colour, source, masks[0]) for source in (folder / "frames", tensors(video))]
    for (frame, of_folder), (expected, of_frames) in zip(*ways, strict=True):
        assert torch.equal(frame, expected)
        assert torch.equal(of_folder, of_frames)


def test_large_frames_are_seen_reduced_and_answered_at_their_own_size(scene, colour):
    video, masks = scene
    seen = []
    colour.register_forward_pre_hook(lambda module, inputs: seen.append(tuple(inputs[0].shape[2:])))
    large = tensors(video.repeat(2, axis=1).repeat(2, axis=2))
    mask = masks[0].repeat(2, axis=0).repeat(2, axis=1)
    found = [mask for _, mask in propagate_masks(colour, large, mask, short_side=96)]
    assert set(seen) == {(96, 130)}
    assert found[-1].shape == (192, 260)
    small = [mask for _, mask in propagate_masks(colour, tensors(video), masks[0])]
    agreement = region_similarity(torch.stack(found[1:])[:, ::2, ::2] == 1, torch.stack(small[1:]) == 1)
    assert agreement.min() > 0.9


def test_sizes_that_are_no_whole_number_of_patches_are_padded(scene, colour):
    video, masks = scene
    colour.multiple = 16
    found = torch.stack([mask for _, mask in propagate_masks(colour, tensors(video), masks[0], short_side=75)])
    assert found.shape == masks.shape
    assert region_similarity(found == 1, torch.from_numpy(masks) == 1).mean() > 0.8


def test_memory_does_not_grow_with_the_video(scene, colour):
    video, masks = scene
    alive: set[int] = set()
    most = 0

    def frames():
        for t in range(60):
            frame = tensors(video[t % FRAMES][None])[0].clone()
            alive.add(t)
            weakref.finalize(frame, alive.discard, t)
            yield frame

    gc.collect()
    protocol = PropagationProtocol("short", 2, 10, 0.07, 6)
    for _ in propagate_masks(colour, frames(), masks[0], protocol):
        most = max(most, len(alive))
    assert most <= 4


def test_gradients_are_as_the_caller_has_them_between_frames(scene, colour):
    video, masks = scene
    for _ in propagate_masks(colour, tensors(video[:3]), masks[0]):
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()


def test_an_object_smaller_than_a_cell_is_named(scene):
    video, masks = scene
    mask = masks[0].copy()
    mask[0, 0] = 9
    with pytest.warns(UserWarning, match="object 9 is too small for feature cells of 8 px"):
        list(propagate_masks(build_feature_extractor("raw_colour"), tensors(video[:2]), mask))


class Patches(nn.Module):
    """Each cell of 4 × 4 px as it is: no two are alike in noise."""

    def forward(self, images):
        return nn.functional.pixel_unshuffle(images - 0.5, 4)


def panned(times=1):
    """Noise that moves 4 px to the right from frame to frame, each pixel shown `times` × `times`."""
    wide = np.random.default_rng(0).integers(0, 256, (48, 64 + 4 * FRAMES, 3)).astype(np.uint8)
    video = np.stack([wide[:, 4 * (FRAMES - t) :][:, :64] for t in range(FRAMES)])
    return tensors(video.repeat(times, axis=1).repeat(times, axis=2))


def test_points_move_with_what_they_are_on():
    first = torch.tensor([[9.0, 13.0], [21.0, 30.0]], dtype=torch.float64)
    patches = build_feature_extractor(Patches())
    found = torch.stack([points for _, points in propagate_points(patches, panned(), {"a": first[0], "b": first[1]})])
    assert torch.equal(found[0], torch.cat([first, torch.ones(2, 1)], dim=1))
    truth = first + 4 * torch.arange(FRAMES)[:, None, None] * torch.tensor([1, 0])
    assert (found[..., :2] - truth).abs().max() < 1.5
    assert ((found[..., 2] > 0.5) & (found[..., 2] <= 1 + 1e-6)).all()


def test_points_of_reduced_frames_are_pixels_of_the_frame():
    first, patches = np.array([[9.0, 13.0]]), build_feature_extractor(Patches())
    small = torch.stack([points for _, points in propagate_points(patches, panned(), first)])
    large = propagate_points(patches, panned(2), (first + 0.5) * 2 - 0.5, short_side=48)
    found = torch.stack([points for _, points in large])
    assert torch.allclose((found[..., :2] + 0.5) / 2 - 0.5, small[..., :2], atol=1e-3)


def test_a_box_follows_its_sprite(scene, colour):
    video, masks = scene
    found = np.stack([box for _, box in track_box(colour, tensors(video), bounds(masks[0]).tolist())])
    assert found[0].tolist() == bounds(masks[0]).tolist()
    truth = np.stack([bounds(mask) for mask in masks])
    low = np.maximum(found[:, :2], truth[:, :2])
    high = np.minimum(found[:, :2] + found[:, 2:], truth[:, :2] + truth[:, 2:])
    common = (high - low).clip(0).prod(1)
    overlap = common / (found[:, 2:].prod(1) + truth[:, 2:].prod(1) - common)
    assert overlap.mean() > 0.6


@pytest.mark.parametrize("kind", ["mp4", "gif", "webp"])
def test_the_overlay_plays_at_the_videos_pace(folder, colour, tmp_path, kind):
    content = predict_video(
        colour, folder / "clip.mp4", MaskPrompt.of(folder / "masks" / "first.png"), tmp_path, overlay=kind
    )
    assert content["frame_rate"] == RATE
    path = tmp_path / f"overlay.{kind}"
    if kind == "mp4":
        stream = FrameStream(path)
        assert (stream.size, stream.num_frames, stream.frame_rate) == ((96, 130), FRAMES, RATE)
    else:
        with Image.open(path) as image:
            assert image.n_frames == FRAMES
            assert image.size == (130, 96)
            image.load()
            assert image.info["duration"] == pytest.approx(1000 / RATE, abs=10)


def test_masks_are_indexed_pngs_in_the_prompts_palette(folder, colour, tmp_path, scene):
    palette = np.random.default_rng(0).integers(0, 256, (256, 3)).astype(np.uint8)
    mask = Image.fromarray(scene[1][0] * np.uint8(17))
    mask.putpalette(palette.ravel().tolist())
    mask.save(tmp_path / "mask.png")
    content = predict_video(colour, folder / "frames", MaskPrompt.of(tmp_path / "mask.png"), tmp_path / "out")
    files = sorted((tmp_path / "out" / "masks").iterdir())
    assert [path.stem for path in files] == [f"{t:03d}" for t in range(FRAMES)]
    for path in files:
        image = Image.open(path)
        assert (image.mode, image.size) == ("P", (130, 96))
        assert set(np.unique(np.array(image))) == {0, 17}
        assert image.getpalette()[17 * 3 : 17 * 3 + 3] == palette[17].tolist()
    record = json.loads((tmp_path / "out" / "prediction.json").read_text())
    assert record == content
    expected = PropagationProtocol.named("vfs").with_changes(feature_stride=4)
    assert record["protocol"] == {"digest": expected.digest(), **expected.fields()}
    assert (record["frames"], record["size"], record["seen_at"]) == (FRAMES, [96, 130], [96, 130])
    assert record["prompt"] == {"kind": "mask", "source": str(tmp_path / "mask.png"), "objects": [17]}
    assert set(record["seconds_of"]) == {"decode", "backbone", "propagate", "decode masks", "write"}


def test_tables_of_boxes_and_points(folder, colour, tmp_path, scene):
    box = bounds(scene[1][0])
    record = predict_video(colour, folder / "frames", BoxPrompt.of(box), tmp_path / "box", overlay="none")
    rows = list(csv.DictReader((tmp_path / "box" / "boxes.csv").open()))
    assert [row["frame"] for row in rows] == [f"{t:03d}" for t in range(FRAMES)]
    assert [float(rows[0][key]) for key in ("x", "y", "width", "height")] == box.tolist()
    assert record["protocol"]["name"] == "vfs+stride=4+response_size=None"
    prompt = PointPrompt.of({"a": (5, 6), "b": (70, 50)})
    predict_video(colour, folder / "frames", prompt, tmp_path / "points")
    rows = list(csv.DictReader((tmp_path / "points" / "points.csv").open()))
    assert [(row["frame"], row["name"]) for row in rows[:3]] == [("000", "a"), ("000", "b"), ("001", "a")]
    assert (rows[1]["x"], rows[1]["y"], rows[1]["score"]) == ("70.00", "50.00", "1.0000")


def test_an_earlier_prediction_is_not_mixed_with_a_new_one(folder, colour, tmp_path):
    prompt = MaskPrompt.of(folder / "masks" / "first.png")
    predict_video(colour, folder / "frames", prompt, tmp_path, overlay="gif")
    (tmp_path / "mine.txt").write_text("kept")
    with pytest.raises(ValueError, match=r"holds a prediction \(prediction\.json\)"):
        predict_video(colour, folder / "clip.mp4", prompt, tmp_path)
    predict_video(colour, folder / "clip.mp4", prompt, tmp_path, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["masks", "mine.txt", "overlay.mp4", "prediction.json"]
    assert not (tmp_path / "masks" / "000.png").exists()
    (tmp_path / "prediction.json").unlink()
    with pytest.raises(ValueError, match=r"holds masks without a prediction\.json"):
        predict_video(colour, folder / "clip.mp4", prompt, tmp_path, overwrite=True)
    assert (tmp_path / "masks" / "00000.png").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"protocol": "nobody"}, "unknown protocol 'nobody'"),
        ({"changes": {"radios": 3}}, "no field radios"),
        ({"overlay": "avi"}, "overlay must be one of mp4, gif, webp, none"),
        ({"prompt": BoxPrompt.of([0, 0, 200, 10])}, "outside the video's first frame"),
        ({"prompt": BoxPrompt.of([0, 0, 20, 10]), "protocol": "vfs"}, "is for masks and points"),
        ({"prompt": BoxPrompt.of([0, 0, 20, 10]), "changes": {"radius": 3}}, "radius"),
    ],
)
def test_a_users_mistake_leaves_no_files(folder, colour, tmp_path, arguments, message):
    given = {"prompt": MaskPrompt.of(folder / "masks" / "first.png")} | arguments
    with pytest.raises((ValueError, DataError), match=message):
        predict_video(colour, folder / "clip.mp4", output_dir=tmp_path / "out", **given)
    assert not (tmp_path / "out").exists()


def test_several_maps_are_refused(scene):
    video, masks = scene
    extractor = build_feature_extractor("raw_colour", stage=["a", "b"])
    with pytest.raises(ValueError, match="one map of features"):
        propagate_masks(extractor, tensors(video), masks[0])


def test_by_the_command_line(folder, tmp_path, capsys):
    words = ["predict", "--model=FrozenEncoder", "--model.spec=raw_colour", f"--data.video={folder / 'clip.mp4'}"]
    words += ["--trainer.accelerator=cpu", f"--trainer.callbacks.output_dir={tmp_path / 'out'}"]
    words += [f"--trainer.default_root_dir={tmp_path / 'runs'}"]
    main([*words, f"--data.mask={folder / 'masks' / 'first.png'}", "--trainer.callbacks.stride=4"])
    assert f"{FRAMES} frames" in capsys.readouterr().out
    record = json.loads((tmp_path / "out" / "prediction.json").read_text())
    assert (record["model"], record["spec"], record["stride"]) == ("FrozenEncoder", "raw_colour", 4)
    assert len(list((tmp_path / "out" / "masks").iterdir())) == FRAMES
    for more, message in (
        ([], "exactly one of mask, box and points"),
        (["--data.box=1,2,3,4", "--data.points=p.csv"], "got box and points"),
        (["--data.box=1,2,3,4"], "holds a prediction"),
        (["--data.box=1,2,300,4", "--trainer.callbacks.overwrite=true"], "outside the video's first frame"),
    ):
        with pytest.raises(SystemExit) as stopped:
            main([*words, *more])
        assert message in str(stopped.value)
        assert "\n" not in str(stopped.value)


def test_predict_step_gives_features_of_clips():
    clip = torch.rand(2, 3, 3, 32, 32)
    module = FrozenEncoder("raw_colour")
    features = module.predict_step({"clip": clip}, 0)["features"]
    assert features.shape == (2, 3, 3, 4, 4)
    assert torch.allclose(features[1, 2], module.feature_extractor()(clip[1, 2][None])[0])
    assert module.predict_step({}, 0) == {}
