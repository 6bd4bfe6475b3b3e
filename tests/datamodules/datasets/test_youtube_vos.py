"""The YouTube-VOS reader: objects that enter late, hold-out split, every frame, mistakes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from datamodules import VideoDataModule
from datamodules.datasets import YoutubeVos
from datamodules.reading.errors import DataError
from datamodules.synthetic import render_video
from tests.helpers.synthetic_layouts import write_youtube_vos

SIZE = (48, 64)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_youtube_vos(tmp_path / "ytvos", 6, valid=2, frames=21, size=SIZE, sprites=(3, 3))


def refused(root: Path, **arguments: Any) -> str:
    with pytest.raises(DataError) as error:
        YoutubeVos(root, **arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


def change_meta(root: Path, split: str, change: Any) -> None:
    path = root / split / "meta.json"
    content = json.loads(path.read_text())
    change(content["videos"])
    path.write_text(json.dumps(content))


def test_train_gives_all_objects_on_every_fifth_frame(root: Path) -> None:
    videos = YoutubeVos(root, "train")
    assert len(videos) == 6
    _, masks = render_video(0, 2, 21, SIZE, (3, 3), latest=10)
    sequence = videos[2]
    assert (sequence.num_frames, sequence.ground_truth) == (5, True)
    assert list(sequence.masks) == [0, 1, 2, 3, 4]
    for t in range(5):
        assert np.array_equal(sequence.mask(t).numpy(), masks[5 * t])
    for number in sequence.objects:
        seen = [t for t in range(5) if (masks[5 * t] == number).any()]
        assert sequence.starts[number] == seen[0]


def test_valid_masks_introduce_objects_where_they_start(root: Path) -> None:
    late = 0
    for sequence in YoutubeVos(root):
        assert not sequence.ground_truth
        assert set(sequence.masks) == set(sequence.starts.values())
        for t in sequence.masks:
            assert set(sequence.mask(t).unique().tolist()) - {0} == set(sequence.entering(t))
        late += sum(start > 0 for start in sequence.starts.values())
    assert late > 0


def test_all_frames_are_followed_and_every_fifth_is_reported(root: Path) -> None:
    sparse, dense = YoutubeVos(root)[0], YoutubeVos(root, all_frames=True)[0]
    assert (sparse.num_frames, dense.num_frames) == (5, 21)
    assert dense.reported == (0, 5, 10, 15, 20)
    assert sparse.reported == (0, 1, 2, 3, 4)
    assert {i: 5 * t for i, t in sparse.starts.items()} == dict(dense.starts)


def test_frames_before_the_first_object_are_left_out(root: Path) -> None:
    (name, *_) = sorted(path.name for path in (root / "valid/JPEGImages").iterdir())
    (root / "valid/Annotations" / name / "00000.png").rename(root / "valid/Annotations" / name / "00010.png")
    start = {"objects": {"1": {"frames": ["00010"]}}}
    for other in (root / "valid/Annotations" / name).glob("*.png"):
        if other.stem != "00010":
            other.unlink()
    change_meta(root, "valid", lambda videos: videos.update({name: start}))
    sequence = YoutubeVos(root)[0]
    assert [frame.stem for frame in sequence.frames] == ["00010", "00015", "00020"]
    assert (dict(sequence.starts), sequence.reported) == ({1: 0}, (0, 1, 2))


def test_holdout_hides_whole_categories(root: Path) -> None:
    videos = YoutubeVos(root, "holdout", holdout=0.0, unseen=1)
    assert len(videos.unseen_categories) == 1
    assert len(videos) + len(videos.training_videos) == 6
    for sequence in videos:
        hidden = {i for i, category in sequence.categories.items() if category in videos.unseen_categories}
        assert sequence.unseen == hidden
        assert hidden
        assert sequence.ground_truth
    shown = json.loads((root / "train/meta.json").read_text())["videos"]
    for folder in videos.training_videos:
        categories = {thing["category"] for thing in shown[folder.name]["objects"].values()}
        assert not categories & videos.unseen_categories


def test_holdout_is_a_function_of_seed_and_name(root: Path) -> None:
    first = [s.name for s in YoutubeVos(root, "holdout", holdout=0.5, unseen=0)]
    assert first == [s.name for s in YoutubeVos(root, "holdout", holdout=0.5, unseen=0)]
    assert len(first) == 3
    assert any(first != [s.name for s in YoutubeVos(root, "holdout", holdout=0.5, unseen=0, seed=k)] for k in (1, 2, 3))


def test_categories_that_training_does_not_have_are_unseen(root: Path) -> None:
    def add(videos: dict[str, Any]) -> None:
        objects = next(iter(videos.values()))["objects"]
        for i, category in zip(objects, ("unicorn", "dots", "dots"), strict=False):
            objects[i]["category"] = category

    change_meta(root, "valid", add)
    change_meta(root, "train", lambda videos: next(iter(videos.values()))["objects"]["1"].update(category="dots"))
    sequence = YoutubeVos(root)[0]
    assert sequence.unseen == {sequence.objects[0]}
    assert YoutubeVos(root)[1].unseen == frozenset()


def test_missing_parts(root: Path) -> None:
    assert "nowhere/valid: no such folder" in refused(root / "nowhere")
    (root / "valid/meta.json").unlink()
    assert "valid/meta.json: no such file" in refused(root)
    with pytest.raises(ValueError, match="split must be"):
        YoutubeVos(root, "test-dev")  # type: ignore[arg-type]


def test_damaged_meta(root: Path) -> None:
    (root / "valid/meta.json").write_text('{"videos": {"a": {}}}')
    assert "not a YouTube-VOS meta.json (KeyError: 'objects')" in refused(root)
    (root / "valid/meta.json").write_text("{")
    assert "meta.json: is not JSON" in refused(root)


def test_video_without_a_folder(root: Path) -> None:
    change_meta(root, "valid", lambda videos: videos.update(lost={"objects": {"1": {"frames": ["00000"]}}}))
    assert "JPEGImages/lost" in refused(root)


def test_object_without_its_first_mask(root: Path) -> None:
    name = YoutubeVos(root)[0].name
    change_meta(root, "valid", lambda videos: videos[name]["objects"].update({"9": {"frames": ["00015", "00020"]}}))
    path = root / "valid/Annotations" / name / "00015.png"
    path.unlink(missing_ok=True)
    assert f"{name}/00015.png: no such mask, but object 9 starts here" in refused(root)


def test_annotation_without_its_frame(root: Path) -> None:
    name = YoutubeVos(root)[0].name
    (root / "valid/JPEGImages" / name / "00000.jpg").unlink()
    assert f"Annotations/{name}/00000.png: mask without its frame" in refused(root)


def test_video_of_one_frame(root: Path) -> None:
    name = YoutubeVos(root)[0].name
    for path in (root / "valid/JPEGImages" / name).iterdir():
        if path.stem != "00000":
            path.unlink()
    for path in (root / "valid/Annotations" / name).iterdir():
        if path.stem != "00000":
            path.unlink()
    change_meta(root, "valid", lambda videos: videos.update({name: {"objects": {"1": {"frames": ["00000"]}}}}))
    assert "1 frames from the first object on" in refused(root)


def introducing_mask(root: Path) -> tuple[Path, int]:
    """The first mask of the first validation video, and the objects' ids in it."""
    name, video = next(iter(json.loads((root / "valid/meta.json").read_text())["videos"].items()))
    start = min(thing["frames"][0] for thing in video["objects"].values())
    path = root / "valid/Annotations" / name / f"{start}.png"
    return path, int(np.array(Image.open(path)).max())


def test_an_object_that_no_mask_holds_is_refused(root: Path) -> None:
    path, _ = introducing_mask(root)
    change_meta(root, "valid", lambda v: v[path.parent.name]["objects"].update({"9": {"frames": [path.stem]}}))
    message = refused(root)
    assert f"{path}: object 9 starts here, but no pixel of this mask holds it" in message
    assert "meta.json" in message


def test_an_empty_introducing_mask_is_refused(root: Path) -> None:
    path, _ = introducing_mask(root)
    Image.fromarray(np.zeros(SIZE, np.uint8)).save(path)
    assert "starts here, but no pixel of this mask holds it" in refused(root)


@pytest.mark.parametrize("number", ["255", "300", "0", "-1"])
def test_ids_that_cannot_be_followed_are_refused(root: Path, number: str) -> None:
    path, _ = introducing_mask(root)
    mask = np.full(SIZE, 255, np.uint8)
    mask[0] = np.array(Image.open(path))[0]
    Image.fromarray(mask).save(path)
    change_meta(root, "valid", lambda v: v[path.parent.name]["objects"].update({number: {"frames": [path.stem]}}))
    assert f"object {number} cannot be followed; ids are 1 to 254" in refused(root)


def test_a_frame_called_by_a_superscript_is_refused(root: Path) -> None:
    path, _ = introducing_mask(root)
    path.rename(path.with_name("²0.png"))
    assert "²0.png: name is not a frame number" in refused(root)


def training(source: Path, **arguments: Any) -> set[str]:
    module = VideoDataModule(source, frames=2, size=16, batch_size=1, num_workers=0, holdout=0, **arguments)
    module.setup("fit")
    return {entry.path.name for entry in module.videos}


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough videos and categories for the default hold-out split."""
    root = tmp_path_factory.mktemp("many") / "ytvos"
    return write_youtube_vos(root, 30, valid=0, frames=11, size=(32, 32), sprites=(1, 1))


@pytest.mark.parametrize("pictures", ["train/JPEGImages", "train_all_frames/JPEGImages"])
def test_training_leaves_the_hold_out_split_out(many: Path, pictures: str) -> None:
    scored = {sequence.name for sequence in YoutubeVos(many, "holdout")}
    everything = {path.name for path in (many / pictures).iterdir()}
    assert scored
    assert scored < everything
    trained = training(many / pictures)
    assert trained == everything - scored
    assert training(many / pictures, include_holdout=True) == everything
    shown = {
        category for sequence in YoutubeVos(many, "train") if sequence.name in trained
        for category in sequence.categories.values()
    }  # fmt: skip
    unseen = YoutubeVos(many, "holdout").unseen_categories
    assert unseen
    assert not shown & unseen


def test_a_list_that_names_a_scored_video_is_refused(many: Path, tmp_path: Path) -> None:
    folders = sorted((many / "train/JPEGImages").iterdir())
    listing = tmp_path / "list.txt"
    listing.write_text("".join(f"{folder}\n" for folder in folders))
    with pytest.raises(DataError, match="belong to YouTube-VOS's hold-out split") as error:
        training(listing)
    assert "--data.include_holdout true" in str(error.value)
    assert len(training(listing, include_holdout=True)) == len(folders)
    kept = YoutubeVos(many, "holdout").training_videos
    listing.write_text("".join(f"{folder}\n" for folder in kept))
    assert training(listing) == {folder.name for folder in kept}


def test_the_shipped_training_configuration_reads_where_the_hold_out_is_known() -> None:
    config = yaml.safe_load((Path(__file__).parents[3] / "configs/data/youtube_vos_train.yaml").read_text())
    source = Path(config["data"]["init_args"]["source"])
    assert source.name == "JPEGImages"
    assert source.parent.name in ("train", "train_all_frames")
    assert not config["data"]["init_args"].get("include_holdout", False)
    assert config["data"]["init_args"]["holdout"] == 0
