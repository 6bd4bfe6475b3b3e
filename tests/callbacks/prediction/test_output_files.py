"""The folder of a prediction: an earlier one is kept, resumed or removed, and nothing else is touched."""

import json
from pathlib import Path

import pytest

from callbacks.prediction.output_files import RECORD, clear, look_for_earlier
from callbacks.prediction.unfinished import UNFINISHED


def test_a_finished_prediction_is_kept_unless_it_may_be_overwritten(tmp_path: Path) -> None:
    assert not look_for_earlier(tmp_path, "none")
    (tmp_path / RECORD).write_text(json.dumps({"complete": True}))
    with pytest.raises(ValueError, match=r"holds a prediction \(prediction\.json\)"):
        look_for_earlier(tmp_path, "none")
    assert not look_for_earlier(tmp_path, "none", overwrite=True)


def test_a_stopped_prediction_may_be_gone_on_with(tmp_path: Path) -> None:
    (tmp_path / RECORD).write_text(json.dumps({"complete": False}))
    assert not look_for_earlier(tmp_path, "none")  # it begins again
    (tmp_path / UNFINISHED).write_bytes(b"")
    assert look_for_earlier(tmp_path, "none")


def test_masks_without_a_record_may_be_the_users_own(tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    with pytest.raises(ValueError, match=r"holds masks without a prediction\.json"):
        look_for_earlier(tmp_path, "none", overwrite=True)
    with pytest.raises(ValueError, match="overlay must be one of"):
        look_for_earlier(tmp_path, "avi")  # type: ignore[arg-type]


def test_only_files_of_a_prediction_are_removed(tmp_path: Path) -> None:
    for name in ("boxes.csv", "points.csv", "mine.txt"):
        (tmp_path / name).write_text("")
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "0.png").write_bytes(b"")
    clear(tmp_path, keep=["points.csv"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.txt", "points.csv"]
    clear(tmp_path / "new")
    assert (tmp_path / "new").is_dir()
