"""Forms of batches × whose loader: a method of ours trains on what has its clips, and refuses the rest in one line."""

import pytest

from tests.helpers.batches import FORMS, Ours, theirs
from tests.helpers.refusal import refused
from tests.helpers.training import TINY, quiet_trainer
from vidcorr import TrainingPictures
from vidcorr.functional.images import as_bytes
from vidcorr.lightning_modules import VFSSimSiam

TRAINS = {"dict", "bytes", "stream"}
OF_PICTURES = TRAINS | {"normalised"}


@pytest.mark.parametrize("form", [*FORMS, "stream"])
@pytest.mark.parametrize("is_ours", [False, True])
@pytest.mark.sampled(3)
def test_a_method_and_the_pictures_take_clips_and_refuse_other_batches(form, is_ours, tmp_path, monkeypatch):
    if is_ours and form == "stream":
        pytest.skip("our loaders have keys")
    for sheet in ("clip_sheet", "feature_sheet", "heat_map_sheet"):
        monkeypatch.setattr(f"vidcorr.callbacks.pictures.{sheet}", lambda *_: None)
    monkeypatch.setattr("vidcorr.callbacks.pictures.write_picture", lambda *_: None)
    for callbacks, takes in (([], TRAINS), ([TrainingPictures()], OF_PICTURES)):
        trainer = quiet_trainer(max_steps=1, limit_val_batches=0, callbacks=callbacks, default_root_dir=tmp_path)
        module = VFSSimSiam(**TINY)
        data = Ours(form) if is_ours else theirs(form)
        if form in TRAINS:
            trainer.fit(module, data)
            continue
        said = "needs a batch with clip|got values from -" if form in takes or not callbacks else "has none: leave it"
        refused(ValueError, said, trainer.fit, module, data)


class Seen(VFSSimSiam):
    """Keeps the type of the clips' bytes."""

    def step(self, batch):
        self.type = as_bytes(batch["clip"]).dtype
        return super().step(batch)


@pytest.mark.parametrize("is_ours", [False, True])
def test_a_method_knows_the_bytes_of_any_loader(is_ours):
    """Shuffle BN deals them."""
    module = Seen(**TINY)
    quiet_trainer(max_steps=1, limit_val_batches=0).fit(module, Ours("bytes") if is_ours else theirs("bytes"))
    assert str(module.type) == "torch.uint8"
