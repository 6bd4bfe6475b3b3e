"""The best checkpoints that a resumed run takes over."""

from callbacks import BestCheckpoint


def test_only_checkpoints_of_its_own_folder_are_taken_over(tmp_path):
    """The names come from the file that the run resumes from: it may be another's."""
    for name in ("run/best.ckpt", "run/notes.txt", "other/better.ckpt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    elsewhere = ["../other/better.ckpt", str(tmp_path / "other/better.ckpt"), "notes.txt", "gone.ckpt"]
    scores = dict.fromkeys(elsewhere, 0.9) | {"best.ckpt": 0.5}
    best = BestCheckpoint("counted/score", dirpath=tmp_path / "run")
    saved = {"best": {str(best.dirpath): {"monitor": "counted/score", "scores": scores}}}
    best.on_load_checkpoint(None, None, saved)
    assert best.best_model_path == f"{tmp_path}/run/best.ckpt"
