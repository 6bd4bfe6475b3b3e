"""Words for LightningCLI: arguments of a checkpoint's class beside those that the user gives."""

from types import SimpleNamespace

import pytest

from vidcorr.experiments.words import SavedModel

OF_FILE = {"bank": {"frames": 9, "points": 4}, "radius": 6}
PARSED = {"bank": SimpleNamespace(frames=0, points=7), "radius": 2}


@pytest.mark.parametrize(
    ("given", "merged"),
    [
        ({("radius",)}, {"radius": 2}),
        ({("bank", "frames")}, {"bank": {"frames": 0, "points": 4}}),
        ({("bank",)}, {"bank": PARSED["bank"]}),
        ({("bank",), ("bank", "frames")}, {"bank": PARSED["bank"]}),
    ],
)
def test_what_is_given_by_a_key_leaves_the_other_keys_of_the_file(given, merged):
    saved = SavedModel("last.ckpt", {"class_path": "vidcorr.Liir", "init_args": OF_FILE}, given)
    assert saved.with_given(PARSED) == merged
    assert OF_FILE["bank"]["frames"] == 9
