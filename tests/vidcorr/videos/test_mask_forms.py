"""Masks in the forms in which people and programs save them, read by every reader, prompt and rule."""

import shutil
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFilter

from tests.helpers.refusal import refused
from vidcorr.commands.score_masks import score
from vidcorr.datasets import Davis, Vip, Vos, YoutubeVos
from vidcorr.datasets.generated import write_davis, write_vip, write_youtube_vos
from vidcorr.videos.files import DataError
from vidcorr.videos.mask_files import read_mask
from vidcorr.videos.palettes import known_palettes
from vidcorr.videos.prompts import MaskPrompt

IDS = np.zeros((24, 32), np.uint8)
IDS[2:10, 2:14], IDS[8:20, 16:30], IDS[14:22, 2:10] = 1, 2, 9
SHAPE = (IDS > 0).astype(np.uint8)


def indexed(ids: np.ndarray, palette: np.ndarray, **options: object) -> Image.Image:
    image = Image.fromarray(ids)
    image.putpalette(palette.ravel().tolist())
    image.info.update(options)
    return image


def in_colours(ids: np.ndarray, palette: np.ndarray, background: int | None = None) -> Image.Image:
    """Return an RGB image, or RGBA with this transparent white as background."""
    rgb = palette[ids]
    if background is None:
        return Image.fromarray(rgb)
    rgb[ids == 0] = background
    return Image.fromarray(np.dstack([rgb, np.where(ids, 255, 0).astype(np.uint8)]))


DAVIS, VOC, YOUTUBE = known_palettes()
FORMS = {
    "indexed": lambda ids: indexed(ids, VOC),
    "indexed, other colours": lambda ids: indexed(ids, np.random.default_rng(0).integers(1, 256, (256, 3), np.uint8)),
    "indexed, transparent 0": lambda ids: indexed(ids, VOC, transparency=0),
    "grey": Image.fromarray,
    "grey, alpha": lambda ids: Image.fromarray(np.dstack([ids, np.where(ids, 255, 0).astype(np.uint8)])),
    "16 bits": lambda ids: Image.fromarray(ids.astype(np.uint16)),
    "RGB of VOC": lambda ids: in_colours(ids, VOC),
    "RGB of DAVIS": lambda ids: in_colours(ids, DAVIS),
    "RGB of YouTube-VOS": lambda ids: in_colours(ids, YOUTUBE),
    "RGBA of VOC": lambda ids: in_colours(ids, VOC, background=255),
}
"""Form → image of ids."""


@pytest.mark.parametrize("form", FORMS)
def test_each_form_gives_the_ids_to_readers_and_prompts(form, tmp_path):
    FORMS[form](IDS).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), IDS)
    np.testing.assert_array_equal(MaskPrompt.of(tmp_path / "mask.png").labels, IDS)
    half = read_mask(tmp_path / "mask.png", (12, 16))
    np.testing.assert_array_equal(half, np.array(Image.fromarray(IDS).resize((16, 12), Image.Resampling.NEAREST)))


WHITE = {
    "1 bit": Image.fromarray(SHAPE * 255).convert("1"),
    "grey": Image.fromarray(SHAPE * 255),
    "grey, alpha": Image.fromarray(SHAPE * 255).convert("LA"),
    "16 bits": Image.fromarray(SHAPE.astype(np.uint16) * 65535),
    "RGB": Image.fromarray(SHAPE * 255).convert("RGB"),
    "RGBA": in_colours(SHAPE * 255, np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, 1), background=40),
}


@pytest.mark.parametrize("form", WHITE)
def test_white_is_255_in_each_form(form, tmp_path):
    WHITE[form].save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), SHAPE * 255)
    np.testing.assert_array_equal(MaskPrompt.of(tmp_path / "mask.png").labels, SHAPE)


def write_vip_small(root: Path) -> Path:
    return write_vip(root, 1, frames=4, size=(48, 64))


SETS = {
    "Davis": (partial(write_davis, count=1, frames=4, size=(48, 64), sprites=(2, 2)), Davis),
    "Vos": (
        partial(write_davis, count=1, frames=4, size=(48, 64), sprites=(2, 2)),
        partial(Vos, frames="JPEGImages/480p", masks="Annotations/480p"),
    ),
    "YoutubeVos": (
        partial(write_youtube_vos, count=1, valid=1, frames=11, size=(48, 64)),
        partial(YoutubeVos, split="train"),
    ),
    "Vip": (write_vip_small, Vip),
    "Vip, instances": (write_vip_small, partial(Vip, parts="instance")),
}
"""Reader of masks → what writes its data set, and the reader."""


def all_ids(sequences):
    return [[sequence.mask(t).tolist() for t in sorted(sequence.masks)] for sequence in sequences]


def rewrite(root: Path, form) -> None:
    """Save the masks of a data set in another form."""
    for path in root.rglob("*.png"):
        form(np.array(Image.open(path))).save(path)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", SETS)
def test_each_reader_reads_each_form(name, form, tmp_path):
    write, read = SETS[name]
    root = write(tmp_path / "data")
    before = all_ids(read(root))
    most = 15 if form == "RGB of YouTube-VOS" else 255
    if max(int(np.array(Image.open(path)).max()) for path in root.rglob("*.png")) > most:
        pytest.skip("YouTube-VOS has 15 colours")
    rewrite(root, FORMS[form])
    assert all_ids(read(root)) == before


def smoothed(name: str) -> Image.Image:
    """Return a white disc with smoothed edges."""
    disc = np.zeros((96, 128), np.uint8)
    cv2.circle(disc, (60, 50), 30, 255, -1)
    image = Image.fromarray(disc)
    kind, _, side = name.partition(" ")
    if kind == "blur":
        return image.filter(ImageFilter.GaussianBlur(int(side)))
    if kind == "drawn":
        drawn = np.zeros((96, 128), np.uint8)
        cv2.circle(drawn, (60, 50), int(side), 255, -1, cv2.LINE_AA)
        return Image.fromarray(drawn)
    if kind == "jpeg":
        _, content = cv2.imencode(".jpg", disc, (cv2.IMWRITE_JPEG_QUALITY, int(side)))
        return Image.fromarray(cv2.imdecode(content, cv2.IMREAD_GRAYSCALE))
    return image.resize((int(side) * 4 // 3, int(side)), Image.Resampling[kind])


SMOOTHED = [
    *(f"{kind} {side}" for kind in ("BILINEAR", "BICUBIC", "LANCZOS", "BOX", "HAMMING") for side in (24, 40, 60, 300)),
    "blur 1", "blur 4", "drawn 5", "drawn 30", "jpeg 50", "jpeg 95",
]  # fmt: skip
SMOOTHED.remove("BOX 300")  # a box that grows takes the nearest pixel


@pytest.mark.sampled(7)
@pytest.mark.parametrize("name", SMOOTHED)
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P"])
def test_smoothed_edges_are_refused(name, mode, tmp_path):
    path = tmp_path / "mask.png"
    smoothed(name).convert(mode).save(path)
    for read in (read_mask, MaskPrompt.of):
        assert str(path) in refused(DataError, "colours; a painted mask has flat colours", read, path)
    smoothed("NEAREST 40").convert(mode).save(path)
    assert MaskPrompt.of(path).objects in ((1,), (255,))


def blurred(ids: np.ndarray) -> Image.Image:
    """Return a white mask of all objects with blurred edges."""
    return Image.fromarray(np.where(ids, 255, 0).astype(np.uint8)).filter(ImageFilter.GaussianBlur(1))


def test_smoothed_masks_are_refused_by_readers_and_rules(tmp_path):
    for name in ("Davis", "Vos", "YoutubeVos"):
        write, read = SETS[name]
        root = write(tmp_path / name)
        rewrite(root, blurred)
        with pytest.raises(DataError, match="flat colours"):
            all_ids(read(root))
    sound = write_davis(tmp_path / "sound", 1, frames=4, size=(48, 64)) / "Annotations/480p"
    soft = tmp_path / "Davis/Annotations/480p"
    for folders in ((sound, soft), (soft, sound)):
        for rules in ("davis-2017", "youtube-vos", "vos-benchmark", "naf"):
            refused(DataError, "flat colours", score, *folders, rules)


def test_ids_that_touch_are_not_smoothed(tmp_path):
    """Grey ids above 32 of objects side by side, a thin object, and VOST's void around an object."""
    ids = np.zeros((32, 48), np.uint8)
    ids[4:28, 4:20], ids[4:28, 20:40], ids[10:12, 4:40], ids[2:4, 4:40], ids[:, 45] = 60, 120, 200, 90, 33
    Image.fromarray(ids).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), ids)
    ids = np.zeros((32, 48), np.uint8)
    ids[3:9, 3:9] = 255
    ids[4:8, 4:8] = 40
    Image.fromarray(ids).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), ids)


def one_object(folder: Path, forms, shift: int = 0) -> Path:
    """Write a video's masks of one object, each in its form: "P", "1" or "L"."""
    folder.mkdir(parents=True)
    for t, form in enumerate(forms):
        ids = np.roll(SHAPE, t + shift, axis=1)
        image = indexed(ids, VOC) if form == "P" else Image.fromarray(ids * 255).convert(form)
        image.save(folder / f"{t:05d}.png")
    return folder.parent


@pytest.mark.parametrize("rules", ["davis-2017", "youtube-vos", "vos-benchmark"])
def test_1_bit_masks_beside_others_of_one_object(rules, tmp_path):
    """White of a 1-bit mask is the object; a grey 255 beside ids may be void, which gives another score."""
    expected = score(one_object(tmp_path / "t/a", "PPPPP"), one_object(tmp_path / "p/a", "PPPPP", 1), rules).scores
    for number, (truth, mine) in enumerate((("LL1LL", "1LL11"), ("PP1PP", "1PP1P"), ("1P111", "P1111"))):
        folders = one_object(tmp_path / f"t{number}/a", truth), one_object(tmp_path / f"p{number}/a", mine, 1)
        assert score(*folders, rules).scores == expected
    mixed = one_object(tmp_path / "mixed/a", "PPLLP", 1)
    said = r"a/0000\d\.png: holds only 0 and 255, other masks of the video hold the ids 1"
    assert refused(DataError, said, score, tmp_path / "t", mixed, rules)


def test_1_bit_masks_of_a_video_that_is_followed(tmp_path):
    for forms in ("1LLL", "L1LL", "P1P1", "1PPP"):
        root = tmp_path / forms
        one_object(root / "Annotations/a", forms)
        shutil.copytree(root / "Annotations", root / "JPEGImages")
        (video,) = Vos(root)
        assert [video.mask(t).sum().item() for t in range(4)] == [SHAPE.sum()] * 4
        assert video.objects == (1,)
    one_object(tmp_path / "mixed/Annotations/a", "PPLP")
    shutil.copytree(tmp_path / "mixed/Annotations", tmp_path / "mixed/JPEGImages")
    refused(DataError, r"00002\.png: holds only 0 and 255", Vos, tmp_path / "mixed")


def test_void_beside_ids_stays_void(tmp_path):
    """Frames of void alone are void if other frames hold void beside ids, as in VOST."""
    ids = np.where(IDS == 9, 255, IDS)
    void = np.where(ids == 255, 255, 0)
    for folder, masks in {"truth": (ids, ids, void, ids), "mine": (IDS, IDS, IDS, IDS)}.items():
        (tmp_path / folder / "a").mkdir(parents=True)
        for t, mask in enumerate(masks):
            indexed(mask.astype(np.uint8), VOC).save(tmp_path / folder / "a" / f"{t:05d}.png")
    rows = score(tmp_path / "truth", tmp_path / "mine", "youtube-vos").rows
    assert [row.object for row in rows] == ["1", "2"]
    assert [row.values["J-Mean"] for row in rows] == pytest.approx([2 / 3, 2 / 3])


def test_a_void_that_outweighs_the_ids_is_refused(tmp_path):
    ids = np.where(IDS == 1, 1, np.where(IDS, 255, 0)).astype(np.uint8)
    root = write_davis(tmp_path / "davis", 1, frames=3, size=IDS.shape)
    rewrite(root, lambda _: indexed(ids, VOC))
    masks = root / "Annotations/480p"
    said = "value 255 means void .* has .* pixels, more than the 96 of all objects"
    for read in (Davis, lambda _: score(masks, masks)):
        assert "00000.png" in refused(DataError, said, read, root)
    assert "00000.png" in refused(DataError, said, MaskPrompt.of, next(masks.rglob("00000.png")))
    assert "array" in refused(DataError, said, MaskPrompt.of, ids)


@pytest.mark.parametrize("case", ["transparent beside an object at 0", "black beside an object at 0", "unknown RGB"])
def test_colours_of_no_palette_are_ids_in_a_prompt_alone(case, tmp_path):
    ids = np.where(IDS == 9, 1, IDS)
    pink, dark = (250, 120, 130), (10, 60, 20)
    if case == "unknown RGB":
        image = in_colours(ids, np.array([(0, 0, 0), dark, pink], np.uint8))
    else:
        palette = np.zeros((256, 3), np.uint8)
        palette[:3] = dark, (255, 255, 255) if "transparent" in case else (0, 0, 0), pink
        options = {"transparency": 1} if "transparent" in case else {}
        image = indexed(np.array([1, 0, 2], np.uint8)[ids], palette, **options)
    image.save(tmp_path / "mask.png")
    np.testing.assert_array_equal(MaskPrompt.of(tmp_path / "mask.png").labels, ids)
    refused(DataError, r"mask\.png: the colours are not those of DAVIS", read_mask, tmp_path / "mask.png")


def test_equally_bright_colours_have_no_order(tmp_path):
    colours = np.array([(0, 0, 0), (100, 100, 140), (111, 101, 106)], np.uint8)
    image = in_colours(np.where(IDS == 9, 0, IDS), colours)
    image.save(tmp_path / "mask.png")
    refused(DataError, "the colours .* are equally bright", MaskPrompt.of, tmp_path / "mask.png")


def test_masks_that_cannot_hold_ids_are_refused(tmp_path):
    path = tmp_path / "mask.png"
    Image.fromarray(SHAPE * 255).save(path, format="JPEG")
    refused(DataError, "a JPEG does not keep the values", read_mask, path)
    indexed(IDS, VOC).save(path, exif=_turned())
    for read in (read_mask, MaskPrompt.of):
        refused(DataError, r"an orientation tag \(EXIF\) turns this mask", read, path)
    indexed(IDS, VOC, transparency=bytes(256)).save(path, transparency=bytes(256))
    refused(DataError, "all its colours are transparent", read_mask, path)


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def test_a_mask_in_colours_among_masks_with_ids_is_refused(tmp_path):
    root = write_davis(tmp_path / "davis", 1, frames=4, size=(48, 64)) / "Annotations/480p"
    shutil.copytree(root, tmp_path / "mine")
    file = next((tmp_path / "mine").rglob("00002.png"))
    in_colours(np.array(Image.open(file)), VOC).save(file)
    refused(DataError, r"00002\.png: is in colours, 00000\.png is not", score, root, tmp_path / "mine")
