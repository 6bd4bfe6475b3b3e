"""The self-contained page of a result: Python collects scores and animations in a JSON, which page.html draws."""

import json
import shlex
from base64 import b64encode
from importlib.resources import files
from math import isnan, nan
from pathlib import Path

from ..videos.files import write_atomically
from .cells import measured_cell
from .checked import Json, plain
from .formats import bracketed, shown
from .pictures.animations import TRUTH_SUFFIX
from .records import ScoreRecord
from .rendering import REPORT
from .result import Result
from .statistics import FEWEST_SEQUENCES, HOW

AT_EACH_END = 3
"""Number of worst, and of best, sequences with animations in the page."""


def write_report(folder: str | Path, result: Result | None = None) -> Path:
    """Write report.html into the folder of a result.

    The page draws a JSON with these keys:

    - `result`, `digest` of its data; `network` and `command` in words
    - `main`: names of the main scores
    - `lines`: scores of this run and of earlier epochs of the training, as texts
    - `intervals`: score → interval as text; `how`: how intervals are computed
    - `rows`: values by column; `shown`: the same values as texts; `text_columns`: columns without fractions
    - `animations`, worst first; `ranked_by`: the score that ranks them

    Args:
        folder: folder of the result, with animations/ if the benchmark draws them.
        result: the result; None: read it from the folder.

    Returns:
        Path of the page.

    Raises:
        OSError: if the folder holds no results.json.
        ValueError: if its results.json, or a JSON in animations/, is damaged.
    """
    folder = Path(folder)
    result = result or Result.load(folder)
    # animations are ranked by the first score with a value per sequence; some rules have J&F per sequence only
    by_sequence = filter(result.scores_by_sequence, (*result.scores, "J&F-Mean"))
    ranked_by = next(by_sequence, "")
    text_columns: set[str] = set()  # truth values and counts are no fractions either
    for row in result.rows:
        text_columns.update(name for name, value in row.values.items() if not isinstance(value, float))
    how = f"95 % intervals: {HOW}; none below {FEWEST_SEQUENCES} sequences."
    content: Json = {"result": result.model_dump(exclude={"rows", "without", "digests"}), "digest": result.data_digest}
    content |= {"network": str(result.network), "command": shlex.join(result.provenance.command)}
    content |= {"main": result.main_scores(), "how": how, "lines": _lines_of_scores(result)}
    content["intervals"] = {}
    for key in result.main_scores():
        cell = measured_cell([ScoreRecord(result, key)])
        if cell.interval:
            content["intervals"][key] = bracketed(cell.interval, cell.declared)
    content |= {"ranked_by": ranked_by, "text_columns": sorted(text_columns)}
    content["animations"] = _animations(folder, result, ranked_by)
    content["rows"] = result.csv_rows()  # the page sorts by these numbers, and shows their texts
    content["shown"] = [result.texts(row.values) for row in result.rows if row.values]
    text = json.dumps(plain(content), allow_nan=False)
    text = text.replace("<", "\\u003c")  # no text ends the script element
    path = folder / REPORT
    template = (files(__package__) / "page.html").read_text("utf-8")
    write_atomically(path, template.replace("DATA", text, 1))
    return path


def _lines_of_scores(result: Result) -> list[Json]:
    """Return the lines of the table of scores, `name` and `scores` as texts: this run, then earlier evaluations.

    A result without scores, of data without truth, has no line of this run.
    """
    lines = [{"name": "this run", "scores": result.texts(result.scores)}] if result.scores else []
    for past in result.history[:-1]:  # the last evaluation of the history is this run
        name = f"epoch {past.epoch}, step {past.step}" if past.step else "before training"
        lines.append({"name": name, "scores": result.texts(past.scores)})
    return lines


def _animations(folder: Path, result: Result, ranked_by: str) -> list[Json]:
    """Return the animations of a result as JSON, lowest score first, sequences without a score last.

    Args:
        folder: folder of the result; animations of sequences that the result lacks are left out.

    Returns:
        The fields that `write_animation` wrote, and `score`, `shown` (the score as text), `name` and `images`. For the
        first and the last `AT_EACH_END` animations, `images` holds the drawn frames in base64, and then the truth if it
        is known; for the others it is empty.
    """
    scores = result.scores_by_sequence(ranked_by)
    texts = {name: shown(score, result.declaration(ranked_by)) for name, score in scores.items()}
    animations: list[Json] = []
    for path in sorted((folder / "animations").rglob("*.json")):
        animation = json.loads(path.read_text("utf-8"))  # as `write_animation` writes it
        name = animation["sequence"]
        if name in result.sequences:  # else of an earlier run in the folder
            full_name = f"{name} ({animation['kind']})" if animation["kind"] else name
            animation |= {"score": scores.get(name, nan), "shown": texts.get(name, ""), "name": full_name, "images": []}
            animations.append(animation)
    ranked = sorted(animations, key=lambda each: (isnan(each["score"]), each["score"]))
    worst = ranked[:AT_EACH_END]
    best = ranked[AT_EACH_END:][-AT_EACH_END:]
    for animation in worst + best:
        for suffix in (".webp", TRUTH_SUFFIX):
            image = folder / "animations" / animation["kind"] / f"{animation['sequence']}{suffix}"
            if image.is_file():
                animation["images"].append(b64encode(image.read_bytes()).decode())
    return ranked
