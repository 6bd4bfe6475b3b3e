"""The self-contained page of a result: Python collects scores and animations in a JSON, which page.html draws."""

import json
import shlex
from base64 import b64encode
from importlib.resources import files
from math import isnan, nan
from pathlib import Path
from statistics import fmean

from ..videos.files import write_atomically
from .checked import Json, plain
from .formats import bracketed, shown
from .pictures.animations import TRUTH_SUFFIX
from .result import REPORT, Result
from .statistics import FEWEST_SEQUENCES, HOW, interval

AT_EACH_END = 3
"""Number of worst, and of best, sequences with animations in the page."""


def write_report(folder: str | Path, result: Result | None = None) -> Path:
    """Write report.html into the folder of a result, and return its path.

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

    Raises:
        OSError, ValueError: as `Result.load`, or if a JSON in animations/ is damaged.
    """
    folder = Path(folder)
    result = result or Result.load(folder)
    how = f"95 % intervals: {HOW}; none below {FEWEST_SEQUENCES} sequences."
    content: Json = {"result": result.model_dump(exclude={"rows", "without", "digests"}), "digest": result.data_digest}
    content |= {"network": str(result.network), "command": shlex.join(result.provenance.command)}
    lines = [{"name": "this run", "scores": result.texts(result.scores)}] if result.scores else []
    for past in result.history[:-1]:
        name = f"epoch {past.epoch}, step {past.step}" if past.step else "before training"
        lines.append({"name": name, "scores": result.texts(past.scores)})
    intervals = {}
    for key in result.main_scores():
        declared = result.declaration(key)
        ends = interval([result.sample(key)], declared)
        if ends:
            intervals[key] = bracketed(ends, declared)
    content |= {"main": result.main_scores(), "how": how, "lines": lines, "intervals": intervals}
    content["ranked_by"], content["animations"] = _animations(folder, result)
    rows = [row for row in result.rows if row.values]
    # truth values and counts are no fractions either
    text_columns = {name for row in rows for name, value in row.values.items() if not isinstance(value, float)}
    content["text_columns"] = sorted(text_columns)
    content["rows"] = [{"Sequence": row.name, **row.values} for row in rows]  # the page sorts by them, and shows texts
    content["shown"] = [result.texts(row.values) for row in rows]
    text = json.dumps(plain(content), allow_nan=False)
    text = text.replace("<", "\\u003c")  # no text ends the script element
    path = folder / REPORT
    template = (files(__package__) / "page.html").read_text("utf-8")
    write_atomically(path, template.replace("DATA", text, 1))
    return path


def _animations(folder: Path, result: Result) -> tuple[str, list[Json]]:
    """Return the score that ranks the animations of a result, and these as JSON, the worst first, the unscored last.

    The score is the first with a value per sequence; some rules have J&F per sequence only. The first and the last
    `AT_EACH_END` animations hold their `images`, and those of the truth, in base64.
    """
    ranked_by = ""
    values: dict[str, list[float]] = {}
    for ranked_by in (*result.scores, "J&F-Mean"):
        values = {}
        for row, value in result.values_of_rows(ranked_by, of_all=False):
            # in some data sets each object is a sequence, named as its row: `VIDEO_OBJECT`
            if not isnan(value):
                values.setdefault(row.name if row.name in result.sequences else row.video, []).append(value)
        if values:
            break
    ranked_by = ranked_by if values else ""
    animations: list[Json] = []
    for path in sorted((folder / "animations").rglob("*.json")):
        animation = json.loads(path.read_text("utf-8"))
        name = animation["sequence"]
        if name in result.sequences:
            score = fmean(values[name]) if name in values else nan
            text = shown(score, result.declaration(ranked_by)) if name in values else ""
            full_name = f"{name} ({animation['kind']})" if animation["kind"] else name
            animations.append(animation | {"score": score, "shown": text, "name": full_name, "images": []})
    ranked = sorted(animations, key=lambda each: (isnan(each["score"]), each["score"]))
    worst = ranked[:AT_EACH_END]
    best = ranked[AT_EACH_END:][-AT_EACH_END:]
    for animation in worst + best:
        for suffix in (".webp", TRUTH_SUFFIX):
            image = folder / "animations" / animation["kind"] / f"{animation['sequence']}{suffix}"
            if image.is_file():
                animation["images"].append(b64encode(image.read_bytes()).decode())
    return ranked_by, ranked
