"""Prompts of several frames: followed both ways, blended between two, corrected alone, left, and what is refused.

Also tests `tracking/followers.py`.
"""

import numpy as np
import pytest
import torch

from tests.helpers.refusal import refused
from tests.helpers.sprite import FRAMES, bounds, tensors
from vidcorr import BoxPrompt, FrameStream, MaskPrompt, PointPrompt, follow
from vidcorr.datasets.generated.scene import Scenes
from vidcorr.functional import LabelPropagator
from vidcorr.metrics import region_similarity
from vidcorr.tracking.follow import extractor_and_protocol, follow_with_doubts
from vidcorr.tracking.frame_encoder import FrameEncoder
from vidcorr.tracking.labels import MaskCoding, first_only, follow_labels
from vidcorr.videos.files import DataError

K = 6
"""Frame of a later prompt."""


def two(mask):
    """Return a mask of two objects, the left half and the right half of one."""
    columns = np.flatnonzero(mask.any(0))
    halves = mask.copy()
    halves[:, columns[len(columns) // 2] :] *= 2
    return halves


def box_of(mask):
    return bounds(mask).tolist()


def centre_of(mask):
    rows, columns = np.nonzero(mask)
    return (float(columns.mean().round()), float(rows.mean().round()))


KINDS = {
    "mask": lambda mask: MaskPrompt.of(two(mask)),
    "boxes": lambda mask: BoxPrompt.of({"left": box_of(two(mask) == 1), "right": box_of(two(mask) == 2)}),
    "points": lambda mask: PointPrompt.of({"left": centre_of(two(mask) == 1), "right": centre_of(two(mask) == 2)}),
}
RULES = [
    *(("mask", name, "1") for name in ("vidcorr", "vfs", "crw", "dino+input_size=96", "liir")),
    *(("mask", name, "0") for name in ("vidcorr", "vfs", "crw", "dino+input_size=96")),
    *(("points", name, "1") for name in ("vidcorr", "vfs", "fomo-points", "vidcorr-points", "gmrw-chained")),
    ("boxes", "vfs", "1"),
]
"""Kind, protocol, and whether the native kernel runs, where it may."""


@pytest.fixture
def scene_of(scene):
    """Return the frames, and the prompt of a kind in frame t."""
    return tensors(scene[0]), lambda kind, t: KINDS[kind](scene[1][t])


def results(*asked):
    return torch.stack([torch.as_tensor(found) for _, found in follow(*asked)])


def same(one, other):
    return torch.equal(one.nan_to_num(-1), other.nan_to_num(-1))


@pytest.mark.parametrize(("kind", "protocol", "native"), RULES)
@pytest.mark.sampled(6, 3)
def test_a_prompt_of_any_frame_is_followed_both_ways(kind, protocol, native, scene_of, colour, monkeypatch):
    """From its frame on as the part of the video from there, before it as the part in reverse order, to the bit."""
    monkeypatch.setenv("VIDCORR_NATIVE", native)
    video, prompt_of = scene_of
    prompt = prompt_of(kind, K)
    both = results(colour, video, {K: prompt}, protocol)
    assert same(both[K:], results(colour, video[K:], prompt, protocol))
    assert same(both[: K + 1].flip(0), results(colour, video[: K + 1].flip(0), prompt, protocol))
    assert len(both.flatten(1).unique(dim=0)) > FRAMES / 2
    first = prompt_of(kind, 0)
    assert same(results(colour, video, {0: first}, protocol), results(colour, video, first, protocol))


@pytest.mark.parametrize("name", ["frames", "clip.mp4"])
def test_a_file_is_read_backwards_in_groups(name, folder, colour, scene_of, monkeypatch):
    monkeypatch.setattr("vidcorr.videos.stream.HELD", 0)  # groups of 8 frames
    stream = FrameStream(folder / name)
    frames = list(stream)
    assert all(map(torch.equal, stream.backwards(FRAMES - 1), reversed(frames)))
    part = FrameStream(folder / name, 3, 8)
    assert all(map(torch.equal, part.backwards(2), reversed(frames[3:6])))
    prompt = scene_of[1]("mask", K)
    assert same(results(colour, stream, {K: prompt}), results(colour, frames, {K: prompt}))
    in_part = [found for _, found in follow(colour, part, {K: prompt})]
    assert same(torch.stack(in_part), results(colour, frames[3:8], {K - 3: prompt}))


def test_between_two_prompts_soft_labels_are_blended_by_distance(scene_of, colour):
    video, prompt_of = scene_of
    prompts = {t: prompt_of("mask", t) for t in (1, K)}
    extractor, rules = extractor_and_protocol(colour, prompts[1], None)
    size = tuple(video.shape[2:])
    coding = MaskCoding(FrameEncoder(extractor, rules), size, size, {1: 0, 2: 0})

    def labels(frames, prompt):
        annotated = first_only(frames, torch.from_numpy(prompt.labels))
        return [tracked.labels for tracked in follow_labels(annotated, coding)]

    from_first = labels(video[1:K], prompts[1])
    from_later = labels(video[1 : K + 1].flip(0), prompts[K])[::-1]
    found = results(colour, video, prompts)
    masks = [result for _, result in follow_with_doubts(colour, video, prompts, None, 480, LabelPropagator)]
    for t in range(2, K):
        share = (t - 1) / (K - 1)
        blended = (1 - share) * from_first[t - 1] + share * from_later[t - 1]
        assert torch.equal(found[t], coding.decode(1, blended, None, video[t]))
        undecided = {name: sum(p * (1 - p) for p in blended[name].ravel().tolist()) for name in (1, 2)}
        doubts = {name: undecided[name] / float(blended[name].sum()) for name in (1, 2)}
        assert masks[t].doubts == pytest.approx(doubts, rel=1e-4)
    for t, prompt in prompts.items():
        assert torch.equal(found[t], torch.from_numpy(prompt.labels))
        assert masks[t].doubts == {1: 0, 2: 0}


@pytest.mark.parametrize("kind", ["boxes", "points"])
def test_an_object_is_corrected_alone(kind, scene_of, colour):
    video, prompt_of = scene_of
    first, later = prompt_of(kind, 0), prompt_of(kind, K)
    correction = type(later).of({"right": later.labels[1].tolist()})
    found = results(colour, video, {0: first, K: correction})
    torch.testing.assert_close(found[:, 0], results(colour, video, first)[:, 0], equal_nan=True)
    torch.testing.assert_close(found[K:, 1], results(colour, video[K:], correction)[:, 0], equal_nan=True)
    swapped = results(colour, video, {0: correction, K: first})  # "left" is new in frame K, and looked for before it
    assert not swapped[..., :2].isnan().any()


def test_a_mask_of_one_object_corrects_it_alone(colour):
    frames, masks = Scenes(seed=7, frames=FRAMES, size=(96, 130), sprites=(2, 2), camouflage=0).render(0)
    video = tensors(frames)
    wrong = np.where(masks[0] == 1, 1, 2 * np.roll(masks[0] == 2, 24, axis=0)).astype(np.uint8)  # 2 lies elsewhere
    correction = MaskPrompt.of(masks[K] * (masks[K] == 2))
    before = results(colour, video, MaskPrompt.of(wrong))
    found = results(colour, video, {0: MaskPrompt.of(wrong), K: correction})
    assert torch.equal(found[K] == 2, torch.from_numpy(masks[K] == 2))
    truth = torch.from_numpy(np.stack(masks))
    assert region_similarity(before[K:] == 2, truth[K:] == 2).max() < 0.5
    assert region_similarity(found[K:] == 2, truth[K:] == 2).min() > 0.7
    assert region_similarity(found == 1, before == 1).min() > 0.9
    assert same(found[:1], before[:1])


def test_an_object_that_left_is_followed_up_to_there_and_no_further(scene_of, colour):
    video, prompt_of = scene_of
    first, later = prompt_of("mask", 0), prompt_of("mask", K)
    without = MaskPrompt.of(later.labels * (later.labels == 1), left=[2])
    found = results(colour, video, {0: first, K: without})
    assert not (found[K:] == 2).any()
    assert (found[:K] == 2).flatten(1).any(1).all()
    assert (found == 1).flatten(1).any(1).all()
    empty = MaskPrompt.of(np.zeros_like(later.labels))
    ended = results(colour, video, {0: first, K: empty})
    assert not ended[K:].any()
    assert same(ended[:K], results(colour, video, first)[:K])  # absence is not blended into what was followed
    again = results(colour, video, {0: first, 3: empty, K: later})
    assert not again[3].any()
    assert same(again[4:], results(colour, video, {K: later})[4:])


def test_of_a_camera_no_frame_is_read_before_its_result(scene_of, colour):
    video, prompt_of = scene_of
    taken = []

    def camera():
        for t, frame in enumerate(video):
            taken.append(t)
            yield frame

    for t, _ in enumerate(follow(colour, camera(), prompt_of("mask", 0))):
        assert taken == list(range(t + 1))
    message = f"an iterator is read once: for a prompt of frame {K} give a file"
    refused(ValueError, message, follow, colour, camera(), {K: prompt_of("mask", K)})


def test_prompts_that_do_not_fit_are_refused_in_a_line(scene_of, colour, folder):
    video, prompt_of = scene_of
    mask = prompt_of("mask", 0)
    wrong = {
        "frame 0 has two prompts: array and array": [mask, mask],
        "prompts must be of one kind, got boxes and mask": {0: mask, 3: prompt_of("boxes", 3)},
        "prompts must be of one kind, got none": {},
        "has no frame 10; the last frame is 9": {0: mask, FRAMES: mask},
        "is of frame -1, the video is read from frame 0 on": {-1: mask},
        "the mask is 3 × 2 px, the frame 130 × 96 px": {0: mask, 3: MaskPrompt.of(np.ones((2, 3), np.uint8))},
        "array: holds no object": MaskPrompt.of(np.zeros((96, 130), np.uint8)),
    }
    for message, prompts in wrong.items():
        for frames in (video, folder / "clip.mp4", folder / "frames"):
            refused(DataError, message, follow, colour, frames, prompts)
    stream = FrameStream(folder / "frames", 3, 8)
    refused(DataError, "is of frame 2, the video is read from frame 3 on", follow, colour, stream, {2: mask})
    refused(DataError, "has no frame 8; the last frame is 7", follow, colour, stream, {8: mask})


def test_ids_that_are_exchanged_in_a_later_mask_are_told_once(colour, recwarn):
    frames, masks = Scenes(seed=7, frames=FRAMES, size=(96, 130), sprites=(2, 2), camouflage=0).render(0)
    prompts = {0: MaskPrompt.of(masks[0]), K: MaskPrompt.of(np.choose(masks[K], [0, 2, 1]).astype(np.uint8))}
    results(colour, tensors(frames), prompts)
    told = [str(each.message) for each in recwarn if "exchanged" in str(each.message)]
    assert told == ["objects 1 and 2 seem exchanged in the mask of frame 6: an id is the same object in all masks"]
