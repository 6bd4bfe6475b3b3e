"""Classes that the command line knows by name."""

import pytest
import pytorch_lightning

from callbacks.command_line.arguments import read_arguments
from callbacks.command_line.classes import with_callback_flags_in_place
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


def test_flags_move_behind_the_callback_that_takes_them():
    mine, other = "--trainer.callbacks+=BestCheckpoint", "--trainer.callbacks+=CollapseMonitor"
    early, late, strange = (f"--trainer.callbacks.{name}=1" for name in ("save_top_k", "mode", "no_such"))
    words = ["fit", early, mine, other, strange, late, "--seed_everything=3"]
    found = [str(argument) for argument in with_callback_flags_in_place(read_arguments(words))]
    assert found == ["fit", mine, early, late, other, strange, "--seed_everything=3"]
