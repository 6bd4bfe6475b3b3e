"""AJ_RD against the numbers of the official code."""

import json
from pathlib import Path

import numpy as np
import pytest

from callbacks.metrics import redetection_events, redetection_scores

FOLDER = Path(__file__).parents[4] / "shared" / "golden" / "score_rules"
CASES = ("short", "mixed", "long", "from_start", "longer_only", "on_threshold", "own_thresholds", "none")


@pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no golden numbers at {FOLDER}")
@pytest.mark.parametrize("case", [*CASES, "never_visible"])
def test_the_official_numbers(case):
    arrays = np.load(FOLDER / "aj_rd.npz")
    official = json.loads((FOLDER / "aj_rd.json").read_text())
    names = ("gt_visible", "gt_tracks", "pred_visible", "pred_tracks")
    by_point = [arrays[f"{case}_{name}"].swapaxes(1, 2) for name in names]  # (B, N, T, …)
    distances, durations = arrays[f"{case}_dist"].tolist(), arrays[f"{case}_dmin"].astype(int).tolist()
    videos = [
        redetection_events(~visible, tracks, ~shown, positions, distances)
        for visible, tracks, shown, positions in zip(*by_point, strict=True)
    ]
    events, values = (np.concatenate([video[k] for video in videos]) for k in (0, 1))
    found = redetection_scores(events[:, 2], values, distances, durations)
    exact = official.get("cases_float64", {}).get(case, {})
    for key, value in official["cases"][case].items():
        if key.startswith("AJ_RD"):
            assert found[key] == pytest.approx(np.nan if value is None else value, abs=1e-6, nan_ok=True), key
            if exact.get(key) is not None:
                assert found[key] == pytest.approx(exact[key], abs=1e-12), key
    if "events" in official["cases"][case]:
        expected = np.array(official["cases"][case]["events"], int)
        batches = np.repeat(np.arange(len(videos)), [len(video[0]) for video in videos])
        ours = np.column_stack([batches, events[:, 1], events[:, 0], events[:, 2]])
        assert sorted(map(tuple, ours)) == sorted(map(tuple, expected))
