"""`--model dino-b8` stands for a network of timm, its weights and stage; a prediction without a model gets advice."""

import pytest

from callbacks.command_line import runs
from callbacks.command_line.model_advice import advice
from callbacks.experiments.comparison import contestants
from callbacks.report.published import PUBLISHED
from cli import main
from lightning_modules.backbones.short_names import SHORT_NAMES


class Parsed(runs.VidcorrCLI):
    """The command line as far as it is parsed: nothing is made."""

    def instantiate_classes(self):
        """Make nothing."""

    def _run_subcommand(self, subcommand):
        """Run nothing."""


@pytest.mark.parametrize("words", [["--model", "dino-b8"], ["--model=dino-b8"]])
def test_a_short_name_becomes_a_frozen_encoder(words):
    model = Parsed(["validate", *words, "--config=benchmarks/davis_dino.yaml"]).config["validate"].model
    assert model.class_path.endswith("FrozenEncoder")
    given = model.init_args
    assert (given.spec, given.pretrained, given.stage) == ("timm:vit_base_patch8_224.dino", True, "block12")


def test_a_flag_behind_it_wins():
    model = Parsed(["validate", "--model", "dino-b8", "--model.stage", "block9"]).config["validate"].model
    assert model.init_args.stage == "block9"


def test_compare_takes_it_with_its_weights_and_stage():
    rows = contestants(["dino-s8", "dinov3-l16@block20/8"], baselines=False)
    assert [(row.name, row.spec, row.stage, row.stride, row.pretrained) for row in rows] == [
        ("dino-s8", "timm:vit_small_patch8_224.dino", "block12", None, True),
        ("dinov3-l16@block20/8", "timm:vit_large_patch16_dinov3.lvd1689m", "block20", 8, True),
    ]


def test_advice_names_models_by_their_published_scores_best_first():
    scores = [float(line.split()[1]) for line in advice().splitlines() if line.startswith("  J&F")]
    known = {round(100 * row.scores["J&F-Mean"], 1) for row in PUBLISHED if row.benchmark == "davis"}
    assert scores == sorted(scores, reverse=True)
    assert set(scores) <= known
    assert len(scores) >= 3
    assert "--model dino-b8" in advice()
    assert all(name in advice() for name in SHORT_NAMES)


def test_the_arguments_of_a_prediction_are_judged_without_naming_its_config(capsys):
    with pytest.raises(SystemExit):
        main(["predict", "--model", "dino-b8", "--data.vidoe=clip.mp4"])
    line = "vidcorr: data: PromptedVideoDataModule has no argument 'vidoe'; did you mean video?\n"
    assert capsys.readouterr().err == line


def test_predict_without_a_model_gives_the_advice(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["predict", "--data.video=clip.mp4", "--data.mask=first.png"])
    assert stopped.value.code == 2
    assert capsys.readouterr().err == f"vidcorr: {advice()}\n"
