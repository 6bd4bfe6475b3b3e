"""Advice where a prediction names no model."""

from lightning_modules.backbones.short_names import SHORT_NAMES

from ..report.published import PUBLISHED

WITHOUT_WEIGHTS = "--model FrozenEncoder --model.spec raw_colour"


def advice() -> str:
    """Return lines that name the models that would do best in `predict`, by their papers' scores, best first."""
    rows = {row.name: 100 * row.scores["J&F-Mean"] for row in PUBLISHED if row.benchmark == "davis"}
    short = {", ".join(network.description.split(", ")[:2]): name for name, network in SHORT_NAMES.items()}
    choices = [(score, row, f"--model {short[row]}") for row, score in rows.items() if row in short]
    trained = max(((score, row) for row, score in rows.items() if row.startswith(("Liir", "VFS"))), default=None)
    if trained is not None:
        choices.append((*trained, "vidcorr convert FILE model.ckpt, with its authors' weights; then --ckpt_path"))
    lines = [f"  J&F {score:.1f}  {row}: {how}" for score, row, how in sorted(choices, reverse=True)]
    return "\n".join(
        (
            "predict needs a model: --ckpt_path FILE, or --model NAME. By the papers' scores on DAVIS-2017 val:",
            *lines,
            f"timm downloads the weights of a name once; the names are {', '.join(SHORT_NAMES)}.",
            f"Without any weights: {WITHOUT_WEIGHTS}",
        )
    )
