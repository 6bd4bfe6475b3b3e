"""Prompts of several frames of a video: the passes that follow them, and the results of a frame from several passes.

A pass follows the objects of a prompt from the prompt's frame, forwards or backwards, as if no other prompt existed. It
ends when all of its objects are prompted again. Between two prompts of an object the results of both passes are blended
by the distance from their frames. A prompt says nothing about objects that it does not name; an object that it names
but does not show has left the video.
"""

import pickle
import tempfile
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations, count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..videos.files import DataError, full_disk_at
from ..videos.objects import Objects
from ..videos.prompts import MaskPrompt, Name, Prompt
from ..videos.stream import FrameStream, GivenFrames

BETWEEN = "blended by distance"
"""How results between two prompts of an object are made, in words for prediction.json."""
Prompts = Prompt | Mapping[int, Prompt] | Sequence[Prompt]


class Pass(NamedTuple):
    """A pass over a video from a prompt.

    Attributes:
        frame: index of the prompt's frame, which the pass reads first.
        step: 1: forwards, −1: backwards.
        first: index of the earliest frame with a wanted result, also of a backward pass, which ends with this frame.
        end: index of the frame after the latest frame with a wanted result. Of a backward pass it is the prompt's
            frame, which the pass reads too. None: to the end of the video.

    Example:
        >>> Pass(frame=2, step=1, first=2, end=None).length(9), Pass(frame=5, step=-1, first=3, end=5).length()
        (7, 3)
    """

    frame: int
    step: int
    first: int
    end: int | None

    def length(self, frames: int | None = None) -> int | None:
        """Return the number of frames that the pass reads.

        Args:
            frames: number of frames of the video; None if it is unknown.

        Returns:
            None for a pass to the end of a video whose number of frames is unknown.
        """
        end = frames if self.end is None else self.end
        # a forward pass reads the frames `first` … `end` - 1; a backward pass reads `end`, its prompt's frame, down to
        # `first`, so its `end` is never None
        return None if end is None else end - self.first + (self.step < 0)


class Found(NamedTuple):
    """Results of a pass in a frame.

    Attributes:
        frame: uint8 RGB `(3, H, W)`; None in results of a backward pass that have waited on disk without it.
        result: a `MaskResult`; or a tensor or array with a row of numbers per object.
        labels: soft labels of masks `(1 + objects, h, w)`, the background first; None if they are not needed to blend.
    """

    frame: Tensor | None
    result: Any
    labels: Tensor | None = None


def by_frame(given: Prompts, start: int) -> dict[int, Prompt]:
    """Return frame → prompt, with frames counted in the whole video.

    Args:
        given: a prompt; or frame of the whole video → prompt; or prompts that state their frames.
        start: index in the whole video of the first frame that is read, and the frame of a prompt that states none.

    Raises:
        DataError: for two prompts of a frame, a frame before `start`, or anything that is no prompt.

    Example:
        >>> first, later = MaskPrompt.of(np.eye(4, dtype=int)), MaskPrompt.of(np.eye(4, dtype=int))
        >>> list(by_frame([first, replace(later, frame=9)], start=3))
        [3, 9]
    """
    if isinstance(given, Mapping):
        given = [replace(_checked(prompt), frame=frame) for frame, prompt in given.items()]
    if isinstance(given, Prompt):
        given = [given]
    prompts: dict[int, Prompt] = {}
    for prompt in map(_checked, given):
        frame = start if prompt.frame is None else prompt.frame
        if frame < start:
            raise DataError(f"{prompt.source}: is of frame {frame}, the video is read from frame {start} on")
        if frame in prompts:
            raise DataError(f"frame {frame} has two prompts: {prompts[frame].source} and {prompt.source}")
        prompts[frame] = prompt
    return prompts


def _checked(prompt: Any) -> Prompt:
    """Return a prompt as it is; refuse anything else, such as an array, which may be a mask, boxes or points."""
    if not isinstance(prompt, Prompt):
        name = type(prompt).__name__
        raise DataError(f"a prompt is MaskPrompt.of(…), BoxPrompt.of(…) or PointPrompt.of(…), got {name}")
    return prompt


def give_ids(prompts: Mapping[int, Prompt], objects: Objects) -> dict[int, Prompt]:
    """Add the objects of all masks to a table, and return the prompts with the table's ids in their masks.

    Args:
        prompts: frame → prompt of any kind.
        objects: the table of objects, which grows.

    Example:
        >>> objects = Objects()
        >>> given = give_ids({0: MaskPrompt.of(np.array([[0, 4]]))}, objects)
        >>> str(objects)
        '4'
    """
    masks = {frame: prompt for frame, prompt in prompts.items() if isinstance(prompt, MaskPrompt)}
    # the masks with the table's ids, in the same order; all at once, since one mask may name the objects of another
    numbered = objects.numbered(list(masks.values()))
    return {**prompts, **dict(zip(masks, numbered, strict=True))}


@dataclass(frozen=True)
class Annotations:
    """Prompts of a video, of one kind.

    Args:
        prompts: frame → prompt, by ascending frames; frame 0 is the first frame that is read.
    """

    prompts: Mapping[int, Prompt]

    @staticmethod
    def of(given: Prompts, start: int = 0) -> "Annotations":
        """Return the prompts of a video: frames counted from the first that is read.

        An id is the same object in all masks. A mask without objects says that all have left.

        Args:
            given: a prompt; or frame of the whole video → prompt; or prompts that state their frames. A prompt that
                states no frame counts for the first frame that is read.
            start: index in the whole video of the first frame that is read.

        Raises:
            DataError: for no object, two prompts of a frame, several kinds of prompts, or a frame before `start`.

        Example:
            >>> dog, gone = MaskPrompt.of(np.array([[1, 0]])), MaskPrompt.of(np.array([[0, 0]]))
            >>> annotations = Annotations.of({30: dog, 33: gone}, start=30)
            >>> {frame: (prompt.objects, prompt.shown) for frame, prompt in annotations.prompts.items()}
            {0: ((1,), (1,)), 3: ((1,), ())}
        """
        prompts_of_video = by_frame(given, start)
        kinds = sorted({prompt.kind for prompt in prompts_of_video.values()})
        if len(kinds) != 1:
            raise DataError(f"prompts must be of one kind, got {' and '.join(kinds) or 'none'}")
        prompts_of_video = give_ids(prompts_of_video, Objects())  # an empty table: ids agree within this video
        objects: set[Name] = set()
        for prompt in prompts_of_video.values():
            objects.update(prompt.objects)
        prompts: dict[int, Prompt] = {}
        for frame, prompt in sorted(prompts_of_video.items()):
            if not prompt.objects:  # an empty mask: it names all objects and shows none, since all have left
                prompt = replace(prompt, objects=tuple(objects))
            prompts[frame - start] = prompt
        if not any(prompt.shown for prompt in prompts.values()):
            raise DataError(f"{next(iter(prompts.values())).source}: holds no object")
        return Annotations(prompts)

    def fitted_to_frame(self, size: tuple[int, int]) -> "Annotations":
        """Return the prompts cut to frames of (height, width) pixels.

        Raises:
            DataError: if a prompt does not fit the frames.
        """
        return Annotations({frame: prompt.fitted_to_frame(size) for frame, prompt in self.prompts.items()})

    def metadata(self, start: int) -> list[dict[str, Any]]:
        """Return a description of each prompt for prediction.json, with its frame in the whole video.

        Args:
            start: index in the whole video of the first frame that is read.
        """
        return [{"frame": start + frame, **prompt.metadata()} for frame, prompt in self.prompts.items()]

    @property
    def first(self) -> Prompt:
        """The prompt of the earliest frame."""
        return next(iter(self.prompts.values()))

    @cached_property
    def frames_of(self) -> dict[Name, list[int]]:
        """Object → ascending frames of the prompts that name it; objects by ascending id, or names as they appear.

        Example:
            >>> Annotations.of({0: MaskPrompt.of(np.array([[1, 2]])), 5: MaskPrompt.of(np.array([[1, 0]]))}).frames_of
            {1: [0, 5], 2: [0]}
        """
        frames: dict[Name, list[int]] = {}
        for frame, prompt in self.prompts.items():
            for name in prompt.objects:
                frames.setdefault(name, []).append(frame)
        has_ids = all(isinstance(name, int) for name in frames)
        return dict(sorted(frames.items())) if has_ids else frames

    @property
    def objects(self) -> tuple[Name, ...]:
        """The objects of all prompts."""
        return tuple(self.frames_of)

    @cached_property
    def passes(self) -> list[Pass]:
        """The passes over the video: for each prompt that shows an object a forward pass, then a backward pass.

        A forward pass ends when all of its objects are prompted again. A backward pass ends with the frame after the
        earliest of its objects' previous prompts, and is left out if this leaves no frame before the prompt.

        Example:
            >>> both, first_alone = MaskPrompt.of(np.array([[1, 2]])), MaskPrompt.of(np.array([[1, 0]]))
            >>> for each in Annotations.of({2: both, 5: first_alone}).passes:
            ...     print(each)
            Pass(frame=2, step=1, first=2, end=None)
            Pass(frame=2, step=-1, first=0, end=2)
            Pass(frame=5, step=1, first=5, end=None)
            Pass(frame=5, step=-1, first=3, end=5)
        """
        passes: list[Pass] = []
        for frame, prompt in self.prompts.items():
            if not prompt.shown:
                continue
            next_frames = [self._next_prompt(name, frame) for name in prompt.shown]
            # without a next prompt of some object (None) to the end of the video; `filter` is for mypy alone
            end = None if None in next_frames else max(filter(None, next_frames))
            passes.append(Pass(frame, 1, frame, end))
            # back to the frame after the earliest previous prompt; to frame 0 if an object has none (−1)
            first = 1 + min(self._latest_prompt(name, frame - 1) for name in prompt.shown)
            if first < frame:
                passes.append(Pass(frame, -1, first, frame))
        return passes

    def _latest_prompt(self, name: Name, t: int) -> int:
        """Return the last frame up to `t` with a prompt that names an object; −1 if there is none.

        Example:
            >>> annotations = Annotations.of({2: MaskPrompt.of(np.array([[1]])), 5: MaskPrompt.of(np.array([[1]]))})
            >>> [annotations._latest_prompt(1, t) for t in (1, 2, 4, 5)]
            [-1, 2, 2, 5]
        """
        place = bisect_right(self.frames_of[name], t)  # number of its prompts up to `t`
        return self.frames_of[name][place - 1] if place else -1

    def _next_prompt(self, name: Name, t: int) -> int | None:
        """Return the first frame after `t` with a prompt that names an object; None if there is none.

        Example:
            >>> annotations = Annotations.of({2: MaskPrompt.of(np.array([[1]])), 5: MaskPrompt.of(np.array([[1]]))})
            >>> [annotations._next_prompt(1, t) for t in (1, 2, 4, 5)]
            [2, 5, 5, None]
        """
        place = bisect_right(self.frames_of[name], t)  # number of its prompts up to `t`: index of the next one
        return self.frames_of[name][place] if place < len(self.frames_of[name]) else None

    def weights(self, t: int) -> dict[Name, dict[Pass, float]]:
        """Return object → pass → the weight with which the pass counts for the object in frame `t`.

        Between two prompts the weight of a pass falls linearly, from 1 at its prompt to 0 at the other. The weights of
        an object sum to 1; an object that has left has no pass.

        Example:
            >>> mask = MaskPrompt.of(np.array([[1]]))
            >>> weights = Annotations.of({0: mask, 4: mask}).weights(1)[1]
            >>> [(each.frame, weight) for each, weight in weights.items()]
            [(0, 0.75), (4, 0.25)]
        """
        weights_of_objects: dict[Name, dict[Pass, float]] = {}
        for name in self.objects:
            before = self._latest_prompt(name, t)  # −1 without one, which is no pass's frame
            after = None if before == t else self._next_prompt(name, t)  # not sought if a prompt is in `t` itself
            weights: dict[Pass, float] = {}
            for each in self.passes:
                # a forward pass reaches `t` from the prompt before it, a backward pass from the next
                prompt_frame = before if each.step > 0 else after
                if each.frame == prompt_frame and name in self.prompts[each.frame].shown:
                    weights[each] = 1.0
            if len(weights) == 2 and after is not None:  # a pass from each side; alone, a pass keeps the weight 1
                backward_weight = (t - before) / (after - before)
                for each in weights:
                    weights[each] = 1 - backward_weight if each.step > 0 else backward_weight
            weights_of_objects[name] = weights
        return weights_of_objects

    def only_pass(self, t: int) -> Pass | None:
        """Return the pass whose results in frame `t` are final as they are; None if results have to be combined.

        Results have to be combined if several passes count in the frame, if the pass has no row for an object, or if it
        still follows an object that another prompt has taken over.

        Example:
            >>> mask = MaskPrompt.of(np.array([[1]]))
            >>> annotations = Annotations.of({0: mask, 4: mask})
            >>> annotations.only_pass(3) is None, annotations.only_pass(5)
            (True, Pass(frame=4, step=1, first=4, end=None))
        """
        weights_of_present = list(filter(None, self.weights(t).values()))
        passes = set().union(*weights_of_present)  # all that count for some object
        if len(passes) != 1:
            return None
        (only,) = passes
        # a mask needs no row for an object that has left; points and boxes do
        has_all_rows = self.first.kind == "mask" or len(weights_of_present) == len(self.objects)
        # all present objects are in this pass: if its prompt shows as many, it follows no others
        follows_no_others = len(weights_of_present) == len(self.prompts[only.frame].shown)
        return only if has_all_rows and follows_no_others else None


def followed(
    annotations: Annotations,
    video: FrameStream | GivenFrames,
    follow_pass: Callable[[Pass], Iterator[Found]],
    combine: Callable[[int, Tensor, Mapping[Pass, Found]], Any],
) -> Iterator[tuple[Tensor, Any]]:
    """Yield the frames of a video and their results, in order.

    A backward pass runs when the earliest frame with its results is reached. Its results wait on disk, so that memory
    does not grow with the video. If the only prompt is in frame 0, each frame is read once, and only when its result is
    wanted.

    Args:
        annotations: the prompts.
        video: the frames.
        follow_pass: runs a pass, and yields its results from the prompt's frame on, in the order of the pass.
        combine: function of the index of a frame, the frame, and the passes' results in it; returns the final results.
            It is called unless `Annotations.only_pass` names a pass.
    """
    running: dict[Pass, Iterator[Found]] = {}
    reader: Iterator[Tensor] | None = None  # reads frames in which no pass goes forwards
    for t in count():
        for each in annotations.passes:
            if each.end == t:  # a backward pass ends before its prompt's frame, which the forward pass begins
                running.pop(each, None)
            if each.first == t:
                results = follow_pass(each)
                # a backward pass begins at its last frame: it is run now, and its results are turned round
                running[each] = results if each.step > 0 else _by_ascending_frames(results, each, annotations)
        found = _next_of_each(running)  # empty, but not None, where no pass has results: all objects have left
        if found is None:  # the video has ended
            return
        of_forward_passes = (item.frame for item in found.values() if item.frame is not None)
        frame = next(of_forward_passes, None)
        if frame is None:
            reader = video.forwards(t) if reader is None else reader
            frame = next(reader, None)
        else:
            reader = None  # if it is needed again, it starts at a later frame
        if frame is None:  # the video has ended
            return
        only_pass = annotations.only_pass(t)
        yield frame, combine(t, frame, found) if only_pass is None else found[only_pass].result


def _next_of_each(running: Mapping[Pass, Iterator[Found]]) -> dict[Pass, Found] | None:
    """Return each pass's results in the next frame; None if a pass has none, because the video has ended.

    Example:
        >>> mask = MaskPrompt.of(np.array([[1]]))
        >>> of_first, back, of_last = Annotations.of({0: mask, 4: mask}).passes
        >>> running = {of_first: iter([Found(None, "a"), Found(None, "b")]), back: iter([Found(None, "c")])}
        >>> [item.result for item in _next_of_each(running).values()]
        ['a', 'c']
        >>> print(_next_of_each({back: iter([])}))
        None
    """
    found: dict[Pass, Found] = {}
    for each, results in running.items():
        item = next(results, None)
        if item is None:
            return None
        found[each] = item
    return found


def _by_ascending_frames(results: Iterator[Found], backward: Pass, annotations: Annotations) -> Iterator[Found]:
    """Run a backward pass to its end, and yield its results by ascending frames, without the prompt's own frame.

    The results wait in a temporary file.

    Args:
        results: results of the pass, by descending frames.
        backward: the pass.
        annotations: the prompts; they tell which soft labels will be blended and have to be kept.

    Raises:
        FullDisk: if the folder of temporary files has no room.
    """
    folder = Path(tempfile.gettempdir())
    with tempfile.TemporaryFile(dir=folder) as file:
        lengths: list[int] = []
        for t, found in zip(range(backward.frame, backward.first - 1, -1), results, strict=True):
            is_alone = annotations.only_pass(t) == backward  # nothing will be blended
            # without the frame, which `followed` has from a forward pass or reads again
            kept = Found(None, found.result, None if is_alone else found.labels)
            with full_disk_at(folder):
                lengths.append(file.write(zlib.compress(pickle.dumps(kept), 1)))  # the fastest level
        for length in reversed(lengths[1:]):  # without the prompt's own frame, the first that was written
            file.seek(-length, 1)  # back from the end of these results to their beginning
            packed = file.read(length)
            file.seek(-length, 1)  # to the beginning again, where the results of the next frame end
            yield pickle.loads(zlib.decompress(packed))


def blended_labels(annotations: Annotations, t: int, found: Mapping[Pass, Found]) -> Tensor:
    """Return the soft labels of all objects of masks in frame `t`, the background first, blended from passes.

    The label of an object is the weighted sum of its labels in the passes that follow it. The backgrounds of these
    passes are summed with the same weights, once per object; the background of a cell is the smallest of these sums. An
    object that a pass still follows beyond the object's next prompt counts as background in this pass.

    Args:
        annotations: the prompts.
        t: index of the frame.
        found: results of the passes that cover the frame, at least one.

    Returns:
        `(1 + objects, h, w)`.

    Example:
        >>> mask = MaskPrompt.of(np.array([[1, 0]]))
        >>> annotations = Annotations.of({0: mask, 4: mask})
        >>> on_the_left = torch.tensor([[[0.0, 1.0]], [[1.0, 0.0]]])  # background and object 1, of two cells
        >>> labels = {1: on_the_left, -1: on_the_left.flip(2)}
        >>> found = {each: Found(None, None, labels[each.step]) for each in annotations.passes}
        >>> blended_labels(annotations, 1, found).tolist()
        [[[0.25, 0.75]], [[0.75, 0.25]]]
    """
    weights = annotations.weights(t)
    background_of: dict[Pass, Tensor] = {}
    channels: dict[tuple[Pass, Name], Tensor] = {}
    for each, item in found.items():
        assert item.labels is not None  # labels are kept wherever passes are blended
        background_of[each] = item.labels[0]
        for name, channel in zip(annotations.prompts[each.frame].shown, item.labels[1:], strict=True):
            channels[each, name] = channel
            if each not in weights[name]:  # this pass no longer follows the object
                background_of[each] = background_of[each] + channel
    nothing = torch.zeros_like(next(iter(background_of.values())))
    objects: list[Tensor] = []
    backgrounds: list[Tensor] = []
    for name, weight_of in weights.items():  # `weight_of`: pass → weight, empty for an object that has left
        objects.append(sum((weight * channels[each, name] for each, weight in weight_of.items()), nothing))
        if weight_of:
            backgrounds.append(sum((weight * background_of[each] for each, weight in weight_of.items()), nothing))
    # the smallest: in the cells of an object that it does not follow, a pass sees background
    background = torch.stack(backgrounds).amin(0) if backgrounds else nothing + 1  # 1 everywhere: all have left
    return torch.stack([background, *objects])


def exchanged_pairs(annotations: Annotations, t: int, found: Mapping[Pass, Found]) -> list[tuple[Name, Name]]:
    """Return pairs of objects whose ids two prompts seem to have exchanged.

    Two objects are a pair if each, followed forwards, lies mostly on the cells of the other, followed backwards.

    Args:
        annotations: the prompts.
        t: index of the frame.
        found: results of the passes that cover the frame.

    Example:
        >>> mask = MaskPrompt.of(np.array([[1, 2]]))
        >>> annotations = Annotations.of({0: mask, 4: mask})
        >>> of_mask = torch.tensor([[[0.0, 0.0]], [[1.0, 0.0]], [[0.0, 1.0]]])  # of background, 1, 2
        >>> labels = {1: of_mask, -1: of_mask.flip(2)}
        >>> found = {each: Found(None, None, labels[each.step]) for each in annotations.passes}
        >>> exchanged_pairs(annotations, 3, found)
        [(1, 2)]
        >>> exchanged_pairs(annotations, 3, {each: Found(None, None, of_mask) for each in annotations.passes})
        []
    """
    forwards: dict[Name, Tensor] = {}
    backwards: dict[Name, Tensor] = {}
    weights = annotations.weights(t)
    for each, item in found.items():
        assert item.labels is not None
        cells = item.labels.argmax(0)  # 0: background; then places among the objects that the pass follows
        of_direction = forwards if each.step > 0 else backwards
        for number, name in enumerate(annotations.prompts[each.frame].shown, start=1):
            if each in weights[name]:  # else another prompt has taken the object over
                of_direction[name] = cells == number

    def lies_on(name: Name, other: Name) -> bool:
        """Return whether most cells of one object, followed forwards, belong to the other, followed backwards."""
        return bool(2 * (forwards[name] & backwards[other]).sum() > forwards[name].sum())

    followed_twice = [name for name in forwards if name in backwards]
    return [(a, b) for a, b in combinations(followed_twice, 2) if lies_on(a, b) and lies_on(b, a)]


def blended_numbers(annotations: Annotations, columns: int, t: int, found: Mapping[Pass, Found]) -> NDArray[np.float64]:
    """Return the numbers of all points or boxes in frame `t`, blended from the passes that follow them.

    Args:
        annotations: the prompts.
        columns: number of columns of the results.
        t: index of the frame.
        found: results of the passes that cover the frame. A row whose first number is NaN, of a lost object, does not
            count.

    Returns:
        `(N, columns)`; NaN for an object that no pass finds.

    Example:
        >>> from vidcorr import PointPrompt
        >>> annotations = Annotations.of({0: PointPrompt.of({"nose": (0, 0)}), 4: PointPrompt.of({"nose": (8, 0)})})
        >>> found = {each: Found(None, np.array([[2.0 * each.frame, 0.0]])) for each in annotations.passes}
        >>> blended_numbers(annotations, columns=2, t=1, found=found).tolist()  # 3/4 · 0 + 1/4 · 8
        [[2.0, 0.0]]
    """
    weights = annotations.weights(t)
    numbers = np.full((len(weights), columns), np.nan)
    for row, (name, weight_of) in zip(numbers, weights.items(), strict=True):
        known: list[tuple[float, NDArray[np.float64]]] = []
        for each, weight in weight_of.items():  # pass → weight
            place = annotations.prompts[each.frame].shown.index(name)
            found_row = np.asarray(found[each].result[place], np.float64)
            if not np.isnan(found_row[0]):
                known.append((weight, found_row))
        if known:  # the weights of the remaining rows are scaled to the sum 1
            total = sum(weight for weight, _ in known)
            row[:] = sum(weight / total * found_row for weight, found_row in known)
    return numbers
