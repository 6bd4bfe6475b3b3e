"""Classes that the command line knows by name."""

import pytest
import pytorch_lightning

from cli import main

FIT = ["fit", "--model=VFSSimSiam"]


def test_a_class_that_happens_to_be_there_is_not_what_was_meant(capsys):
    """Without this, what a mistake is told depends on the tests that ran before."""
    type("Mode", (pytorch_lightning.LightningModule,), {})
    type("VFSSimSan", (pytorch_lightning.LightningModule,), {})
    for name, hint in (("nowhere.Model", ""), ("VFSSimSam", "; did you mean VFSSimSiam?")):
        with pytest.raises(SystemExit):
            main([*FIT[:1], "--model", name])
        assert capsys.readouterr().err == f"vidcorr: model: there is no class {name!r}{hint}\n"
