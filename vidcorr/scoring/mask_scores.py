"""Score masks on disk by the rules of DAVIS and related data sets."""

from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain
from math import inf, nan
from operator import attrgetter
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from ..datasets.layout import layout_of, not_expected
from ..datasets.lists import read_meta_videos
from ..metrics.declared import fractions
from ..metrics.rules import RULES
from ..metrics.scoring import AnnotatedVideo, MaskScorer, Metadata, Rules, Values, numbers_in, values_of_objects
from ..results.provenance import Provenance
from ..results.result import Network, Result, Row, leave_one_out, videos_of
from ..videos.digests import file_digest, text_digest
from ..videos.files import WRONG_JSON, DataError, errors_at, require_one_of, user_path
from ..videos.folders import list_folders, list_images, natural_order
from ..videos.image_files import read_image
from ..videos.mask_folder import MaskFolder
from ..videos.processes import usable_cores
from .readings import AS_WRITTEN, PLACES, SHIFTS, Errors, refuse_or_doubt

KEEP_ENDS = "first and last frame too"
"""Condition of a result whose scores count the first and the last frame of each video."""


def score(
    truth: str | Path,
    predictions: str | Path,
    rules: str = "davis-2017",
    *,
    videos: Sequence[str] | None = None,
    meta: str | Path | None = None,
    unseen: Collection[str] = (),
    keep_ends: bool = False,
    allow_missing: bool = False,
    pictures: str | Path | None = None,
) -> Result:
    """Score masks on disk by the rules of a data set.

    Args:
        truth: folder with a folder of indexed PNGs per video.
        predictions: folder of predictions with the same layout and file names, for all scored frames.
        rules: name in `RULES`, to which rules of yours may be added.
        videos: names of videos; None: all folders of `truth`.
        meta: metadata file of the data set, for YouTube-VOS's averages over categories.
        unseen: categories (YouTube-VOS) that training has not seen.
        keep_ends: True: count the first and the last frame too, which the rules leave out.
        allow_missing: True: leave out videos without predictions or without an object to score.
        pictures: folder for animations and overlays, as a benchmark draws them for the page of its result; over the
            frames in `JPEGImages` beside the `Annotations` of `truth`, or over grey.

    Returns:
        The result, named by the rules; its network is the folder of the predictions. `data["missing_videos"]` names the
        videos without predictions or objects.

    Raises:
        DataError: for a missing or damaged mask, a mask of another size, a video without an object to score, or a name
            in `videos` that the truth lacks; the message names the file.
        ValueError: for unknown rules, or `keep_ends` by rules that leave no ends out.

    Example:
        >>> score("DAVIS/Annotations/480p", "prediction", "davis-2017").scores  # doctest: +SKIP
        {'J&F-Mean': 0.66, ...}
    """
    chosen = _rules_by_name(rules, meta, unseen, keep_ends)
    output = None if pictures is None else user_path(pictures)
    folders = MaskFolders(user_path(truth), user_path(predictions), chosen, allow_missing, output)
    listed = sorted(list_folders(folders.truth))
    names = list(dict.fromkeys(listed if videos is None else videos))
    layout = layout_of(folders.truth)
    if not listed or (layout and not layout.startswith(("masks", "frames"))):  # coloured masks may look like frames
        raise DataError(not_expected(folders.truth, "a folder of masks per video"))
    for name in sorted(set(names).difference(listed)):
        raise DataError(f"{folders.truth}: has no video {name}, which is named")
    missing = folders.missing(names)
    scored_folders = folders.score([name for name in names if name not in missing])
    rows = sorted(chain.from_iterable(folder.rows for folder in scored_folders), key=attrgetter("order"))
    if not rows:
        expected = f"expected {folders.predictions}/VIDEO/FRAME.png"
        raise DataError(f"{folders.predictions}: holds no video of {folders.truth}; {expected}")

    def scores_of(rows: Sequence[Row]) -> Values:
        return chosen.scores(values_of_objects(rows))

    with errors_at(meta, *WRONG_JSON):  # the rules read categories in the metadata here
        scores = scores_of(rows)
    unscored = [name for name in names if name not in {row.video for row in rows}]
    about: dict[str, Any] = {"benchmark": rules, "scores": scores, "declared": chosen.declare(scores)}
    about["doubts"] = _doubts_about_masks(scored_folders) + chosen.doubts(scores)
    if keep_ends:
        about["conditions"] = [KEEP_ENDS]
    about["data"] = {"rules": chosen.facts(), "keep_ends": keep_ends}
    about["data"] |= {"missing_videos": unscored, "truth": folders.truth}
    if chosen.pooled:  # the scores are no means over the rows: intervals need the scores without each video
        about["without"] = leave_one_out(rows, scores_of)
    return result_of_predictions(folders.predictions, "masks", rows, folders.digests(names), **about)


def require_categories(meta: Path, unseen: Collection[str]) -> None:
    """Check that YouTube-VOS, by its metadata file, has the categories that training has not seen.

    Raises:
        ValueError: if `unseen` is empty, or names a category that the data set lacks.
    """
    categories: set[str] = set()
    for video in read_meta_videos(meta).values():
        categories.update(str(entry.get("category")) for entry in video["objects"].values())
    if not unseen or not categories.issuperset(unseen):
        raise ValueError(f"score: --unseen must name unseen categories of {meta}")


def _rules_by_name(name: str, meta: str | Path | None, unseen: Collection[str], keep_ends: bool) -> Rules:
    require_one_of(RULES, rules=name)
    rules = RULES[name]
    if keep_ends and not rules.inner_only:
        raise ValueError(f"keep_ends: rules {rules.name} do not leave the first and the last frame out")
    known = Metadata({} if meta is None else read_meta_videos(Path(meta)), set(unseen), meta)
    return replace(rules, read_metadata=lambda: known, keep_ends=keep_ends)


def result_of_predictions(
    predictions: str | Path, kind: str, rows: Sequence[Row], digests: Mapping[str, str], **fields: Any
) -> Result:
    """Return the result of predictions on disk, with their folder as the name of the network.

    Args:
        predictions: the folder.
        kind: kind of the predictions: "masks", "points" or "boxes".
        rows: the scored sequences or objects, sorted.
        digests: name of a sequence → digest of its truth; may hold more sequences than were scored.
        **fields: other fields of the result. The number of sequences is added to `conditions`. Without `declared`, all
            scores are fractions.

    Raises:
        DataError: if nothing was scored.
    """
    videos = videos_of(rows)
    fields["conditions"] = [*fields.get("conditions", ()), f"{len(videos)} sequences"]
    fields.setdefault("declared", fractions(*fields["scores"]))
    fields["digests"] = {video: digests[video] for video in videos}
    network = Network(name=str(predictions), weights=f"their {kind}")
    result = Result(network=network, rows=rows, sequences=videos, provenance=Provenance.now(), **fields)
    return result.require_sound()


@dataclass(frozen=True)
class ScoredFolder:
    """The scores of the folder of a video's masks.

    Attributes:
        video: name of the video.
        predictions: folder of the predictions.
        rows: a row per object; none for a folder without objects, which `allow_missing` accepts.
        errors: distances of the first predictions from the annotation, by each reading.
        writes_void: True if the predictions hold 255 beside ids, and the annotations do not.
    """

    video: str
    predictions: Path
    rows: Sequence[Row]
    errors: Errors
    writes_void: bool


@dataclass(frozen=True)
class MaskFolders:
    """Folders of annotated and predicted masks, and the rules that compare them.

    Attributes:
        truth: folder with a folder of annotated masks per video.
        predictions: folder of the same layout, with predicted masks.
        rules: the rules, with metadata if they need any.
        allow_missing: True: accept videos without predictions or without an object to score.
        pictures: folder for pictures; None: none are drawn.
    """

    truth: Path
    predictions: Path
    rules: Rules
    allow_missing: bool
    pictures: Path | None

    def digests(self, names: Iterable[str]) -> dict[str, str]:
        """Return video → digest of its annotated masks, 8 hexadecimal digits, for the given names of videos."""
        found: dict[str, str] = {}
        for name in names:
            folder = self.truth / name
            found[name] = text_digest("\n".join(f"{file.name} {file_digest(file)}" for file in list_images(folder)), 8)
        return found

    def score(self, names: Sequence[str]) -> list[ScoredFolder]:
        """Score videos in threads; return the scores of each, in the order of the names.

        Raises:
            DataError: for a video without an object to score, or a mask that is missing or does not fit.
        """
        with ThreadPoolExecutor(usable_cores()) as pool:
            return list(pool.map(self._score_folder, names))

    def missing(self, names: Sequence[str]) -> list[str]:
        """Return the names of the videos without predictions.

        Raises:
            DataError: if there are any, unless `allow_missing`.
        """
        predicted = list_folders(self.predictions)
        missing = [name for name in names if name not in predicted]
        if missing and not self.allow_missing:
            text = f"no such folder of predictions ({len(missing)} of {len(names)})"
            if any(normalize("NFC", name) == normalize("NFC", missing[0]) for name in predicted):
                text += "; there is one of the same letters in another Unicode form, as macOS writes it: rename it"
            raise DataError(f"{self.predictions / missing[0]}: {text}")
        return missing

    def _score_folder(self, video: str) -> ScoredFolder:
        rules = self.rules
        folder = self.truth / video
        predicted = self.predictions / video
        if not list_images(folder):
            within = list_folders(folder)
            raise DataError(f"{folder}: holds {f'the folder {within[0]}, ' if within else ''}no masks")
        annotations = MaskFolder(folder, has_void=rules.has_void)
        predictions = MaskFolder(predicted, truth=annotations, has_void=rules.has_void)
        scorer = self._scorer_of(video, annotations)
        _refuse_missing_masks(annotations, predictions, scorer)
        for t in scorer.objects:  # frame → the objects that count in it
            predicted_t = predictions.frame_of[annotations[t].stem]
            with errors_at(predictions[predicted_t]):
                scorer.add(t, annotations.read(t), predictions.read(predicted_t))
        with errors_at(predicted):
            objects = scorer.finish()
        rows = [Row(video=video, object=str(id), values=values) for id, values in objects.items()]
        if self.pictures is not None:
            draw_masks(self.pictures, video, annotations, predictions, scorer.curves(begin=0))
        # errors as written, and as if written a frame late or early, by which `score` finds frames numbered wrongly;
        # `plan`: id of a scored object → its frames
        errors = errors_of_masks(annotations, predictions, rules, list(scorer.plan))
        return ScoredFolder(video, predicted, rows, errors, scorer.writes_void)

    def _scorer_of(self, name: str, annotations: MaskFolder) -> MaskScorer:
        rules = self.rules
        folder = annotations.folder
        # `annotations`: index of a frame → file; `shown`: function from the index to the ids
        video = AnnotatedVideo(name, list(annotations), annotations.shown)
        with errors_at(folder, *WRONG_JSON):
            scorer = MaskScorer(rules, video)
        if not scorer.plan and not self.allow_missing:  # `plan`: the objects to score; the error gives the likely cause
            first_alone = "; it holds the first mask alone, as a test set does, whose truth only its server has"
            has_ends = bool(MaskScorer(replace(rules, keep_ends=True), video).plan)
            left_out = "; they leave out the first and the last mask: --keep-ends counts them" if has_ends else ""
            cause = first_alone if len(annotations) == 1 else left_out
            raise DataError(f"{folder}: rules {rules.name} score no object here{cause}")
        return scorer


def draw_masks(
    output: Path, video: str, annotations: MaskFolder, predictions: MaskFolder, curves: Mapping[str, object]
) -> None:
    """Draw the annotated frames of a video with their predicted masks: an animation, and an overlay of five frames.

    Args:
        output: folder of the result.
        video: name of the video.
        annotations: its annotated masks.
        predictions: the predicted ones; a frame without one has no objects.
        curves: name of a measure → its values, as `MaskScorer.curves` returns them.
    """
    import torch  # scores alone need none of these

    from ..benchmarks.output import Output, SequencePictures
    from ..results.pictures.animations import overlay_masks_small

    above, masks, below = str(annotations.folder).rpartition("Annotations")
    frames = {frame.stem: frame for frame in list_images(f"{above}JPEGImages{below}")} if masks else {}

    def drawn(t: int, masks: MaskFolder) -> Any:
        truth, stem = annotations.read(t), annotations[t].stem
        own = masks.frame_of.get(stem)
        ids = np.zeros_like(truth) if own is None else masks.read(own)
        if masks.void is not None:
            ids[ids == masks.void] = 0
        frame = read_image(frames[stem]) if stem in frames else np.full((*truth.shape, 3), 128, np.uint8)
        return overlay_masks_small(torch.from_numpy(frame).permute(2, 0, 1), torch.from_numpy(ids))

    sequence: Any = SimpleNamespace(name=video, num_frames=len(annotations), begin=0)
    # `drawn` takes the index of a frame in place of the frame, so that only drawn frames are read
    pictures: Any = SequencePictures(Output(output), sequence, drawn, caption="predicted masks, scored from disk")
    for t in annotations:
        pictures.add(t, predictions, truth=annotations)
    pictures.close(curves)


def _refuse_missing_masks(annotations: MaskFolder, predictions: MaskFolder, scorer: MaskScorer) -> None:
    required = scorer.rules.required(scorer.video, scorer.plan)
    missing = [t for t in required if annotations[t].stem not in predictions.frame_of]
    if not missing:
        return
    folder = predictions.folder
    text = f"a predicted mask is missing ({len(missing)} of {len(required)})"
    unknown = [stem for stem in predictions.frame_of if stem not in annotations.frame_of]
    if unknown:
        text += f", and {unknown[-1]}.png is no annotated frame: name the predictions as the annotations"
    raise DataError(f"{folder / annotations[missing[0]].stem}.png: {text}")


def _doubts_about_masks(folders: Sequence[ScoredFolder]) -> list[str]:
    form = "the masks of their frames, named and numbered as the annotations"
    doubts = refuse_or_doubt({folder.predictions: folder.errors for folder in folders}, "the given mask", form)
    with_void = [folder.video for folder in folders if folder.writes_void]
    if with_void:
        about = f"255 beside ids (first {with_void[0]}), which is void and counts as background"
        doubts.append(f"{len(with_void)} of {len(folders)} predictions hold {about}: write an object as its id")
    return doubts


def errors_of_masks(annotations: MaskFolder, predictions: MaskFolder, rules: Rules, objects: Sequence[int]) -> Errors:
    """Return by how many pixels each object is displaced in the first annotated frames that show it, by each reading.

    A reading compares the mask of a frame with the prediction of the same frame (as written), of the next one (a frame
    late) or of the one before (a frame early), also where the frame itself has no prediction.

    Args:
        annotations: masks of the video.
        predictions: masks with the same names; some may be missing, and there may be others.
        rules: the rules, which may merge ids.
        objects: ids of the scored objects.

    Returns:
        Reading → pixels, `(PLACES, objects)`: infinity for an object that the prediction lacks, or whose start is shown
        to the pixel by the next prediction alone, as where predictions are numbered from 1. NaN: too few frames show
        the object, the frame has no prediction by this reading, or both masks differ in size.
    """
    num_ids = max([255, *objects]) + 1  # numbers in metadata may exceed 255; no mask shows those
    errors = np.full((len(SHIFTS), PLACES, num_ids), nan)
    places = np.zeros(num_ids, int)  # id → number of annotated frames so far that show it: its next place in `errors`
    stems = list(predictions.frame_of)  # in the order of frames, so that a shift is a step in the list

    def displaced(index: int, truth: NDArray[np.uint8]) -> NDArray[np.float64]:
        predicted = _ids_in(predictions, predictions.frame_of[stems[index]], rules)
        return displacements(predicted, truth)

    for stem, t in annotations.frame_of.items():
        wanted = {number for number in objects if places[number] < PLACES}
        if not wanted:
            break
        truth = _ids_in(annotations, t, rules)
        shown = sorted(numbers_in(truth) & wanted)
        has_prediction = stem in predictions.frame_of
        following = bisect_left(stems, natural_order(stem), key=natural_order) + has_prediction
        as_written = following - 1 if has_prediction else -1
        indices = {AS_WRITTEN: as_written, "a frame late": following, "a frame early": following - 1 - has_prediction}
        for reading, index in enumerate(map(indices.__getitem__, SHIFTS)):
            if shown and 0 <= index < len(stems):
                errors[reading, places[shown], shown] = displaced(index, truth)[shown]
        if shown and not has_prediction and following + 1 < len(stems):
            own = annotations.frame_of.get(stems[following])
            is_next_right = (
                np.zeros(256, bool) if own is None else displaced(following, _ids_in(annotations, own, rules)) == 0
            )
            is_elsewhere = (displaced(following, truth) == 0) & (displaced(following + 1, truth) > 0) & ~is_next_right
            starting = [number for number in shown if places[number] == 0 and is_elsewhere[number]]
            errors[0, 0, starting] = inf
        places[shown] += 1
    return dict(zip(SHIFTS, errors[:, :, objects], strict=True))


def _ids_in(masks: MaskFolder, t: int, rules: Rules) -> NDArray[np.uint8]:
    ids = masks.read(t)
    if masks.void is not None:
        ids[ids == masks.void] = 0
    return rules.ids(ids)


def displacements(prediction: NDArray[np.uint8], target: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Estimate by how many pixels each object is displaced between two masks.

    The estimate is twice the number of pixels that differ, divided by the length of the object's edge in the target.

    Args:
        prediction: ids `(H, W)`.
        target: ids `(H, W)`.

    Returns:
        `(256,)`, id → pixels: infinity for an id without a pixel in the prediction, NaN for an id without an edge in
        the target; NaN for all ids if the sizes of the masks differ.

    Example:
        >>> target = np.zeros((40, 40), np.uint8)
        >>> target[4:12, 4:12] = 2
        >>> displacements(np.roll(target, 3, axis=0), target)[:3].tolist()  # no pixel is of object 1
        [3.0, inf, 3.0]
    """
    if prediction.shape != target.shape:
        return np.full(256, nan)
    predicted = np.bincount(prediction.ravel(), minlength=256)
    annotated = np.bincount(target.ravel(), minlength=256)
    shared = np.bincount(target[prediction == target], minlength=256)
    differing = predicted + annotated - 2 * shared
    edges = np.zeros(256, np.int64)
    for before, after in ((target[1:], target[:-1]), (target[:, 1:], target[:, :-1])):
        is_edge = before != after
        edges += np.bincount(before[is_edge], minlength=256) + np.bincount(after[is_edge], minlength=256)
    # a square that moves by d pixels along a side changes d pixels for each pixel of half its edge
    apart: NDArray[np.float64] = 2 * differing / np.where(edges, edges, nan)
    apart[predicted == 0] = inf
    return apart
