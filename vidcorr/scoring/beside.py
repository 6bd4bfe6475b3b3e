"""Predictions of others on the data of a benchmark, scored by its rules: a row beside our networks."""

from collections.abc import Callable
from inspect import signature
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ..benchmarks.base import Benchmark
from ..benchmarks.mask_benchmark import MaskBenchmark
from ..benchmarks.otb import OtbBenchmark
from ..benchmarks.tap_vid import TapVidBenchmark
from ..benchmarks.youtube_vos import YoutubeVosBenchmark
from ..results.result import Result
from ..videos.files import DataError
from .mask_scores import KEEP_ENDS, require_categories, score
from .tracks import score_boxes, score_tracks

FLAGS = {"query_mode": "tracks", "videos": "list"}
"""Argument → its flag of `vidcorr score`, if the names differ."""


def score_beside(
    benchmark: Benchmark, predictions: str | Path, pictures: str | Path | None = None, **options: Any
) -> Result:
    """Score predictions of others on the data of a benchmark, for a table with results of the benchmark.

    Args:
        benchmark: a benchmark of masks, points or boxes, whose sequences are scored.
        predictions: folder of the predictions, in the layout that `score`, `score_tracks` or `score_boxes` describes.
        pictures: folder for pictures of masks, as `score` draws them.
        **options: further arguments of these functions, such as `rules` or `query_mode`, in place of the benchmark's.

    Returns:
        The result, under the name of the benchmark, with the digests of its data and the conditions of its results.

    Raises:
        DataError: for a missing or wrong file; the message names it.
        ValueError: for another benchmark, an option of another kind of predictions, or unseen categories that the data
            set lacks.
    """
    given: Any = benchmark
    truth: Any = benchmark.sequences
    scorer: Callable[..., Result] = score_boxes  # of OTB; other benchmarks replace it
    known: dict[str, Any] = {}
    if isinstance(given, TapVidBenchmark):
        scorer = score_tracks
        known["query_mode"] = given.protocol.query_mode  # type: ignore[union-attr]
    # with `one_object`, VosBenchmark merges all ids into one object, but the rules score each id: it is refused below
    elif isinstance(given, MaskBenchmark) and not getattr(given, "one_object", False):
        scorer = score
        known |= {"rules": given.rules, "videos": [sequence.name for sequence in truth], "pictures": pictures}
        if isinstance(given, YoutubeVosBenchmark):
            # if every object (the keys of `starts`) has a category; `sources[0]`, the metadata file, states them
            if all(sequence.categories.keys() == sequence.starts.keys() for sequence in truth):
                known |= {"meta": truth[0].sources[0], "unseen": given.unseen_names}
            if "unseen" in options:
                require_categories(Path((known | options)["meta"] or ""), options["unseen"])
        truth = folder_of_masks(given)
    elif not isinstance(given, OtbBenchmark):
        raise ValueError(f"score: {benchmark.name} has no predictions of others; --on names masks, points or boxes")
    for name in sorted(set(options).difference(signature(scorer).parameters)):
        flag = FLAGS.get(name, name.replace("_", "-"))
        raise ValueError(f"score: {name} is no choice for {benchmark.name}: leave out --{flag}")
    result = scorer(truth, predictions, **known | options)
    # `Benchmark.facts` expects an encoder and reads these two attributes; here nothing was encoded
    encoder: Any = SimpleNamespace(grid=(0, 0), protocol=benchmark.protocol)
    facts = benchmark.facts(result.rows, encoder) | result.data
    # the facts that the benchmark's conditions name, and all that the scoring states; the latter count if both exist
    of_data = {name: facts[name] for name in (*benchmark.conditions, *result.data) if name in facts}
    scored = set(result.sequences)
    names = [sequence.name for sequence in benchmark.sequences if sequence.name in scored]
    main_scores = [declared for declared in benchmark.declared if declared.name in result.scores]
    kept_ends = [condition for condition in result.conditions if condition == KEEP_ENDS]
    conditions = *benchmark.conditions_in_words(of_data), *kept_ends, f"{len(names)} sequences"
    fields: dict[str, Any] = {"benchmark": benchmark.name, "conditions": conditions, "data": of_data}
    fields["limit_sequences"] = benchmark.limit_sequences
    fields |= {"sequences": tuple(names), "digests": {name: benchmark.digests[name] for name in names}}
    fields["declared"] = tuple(dict.fromkeys((*main_scores, *result.declared)))
    return result.model_copy(update=fields)


def folder_of_masks(benchmark: MaskBenchmark) -> Path:
    """Return the folder of a benchmark's annotations, in which each video has a folder of masks.

    Raises:
        DataError: if the videos' folders do not lie in one folder.
    """
    folders: dict[Path, None] = {}
    for sequence in benchmark.sequences:
        folders[sequence.annotation(sequence.begin).parents[1]] = None
    if len(folders) > 1:
        raise DataError(f"{[*folders][1]}: masks of {benchmark.name} lie in several folders")
    return next(iter(folders))
