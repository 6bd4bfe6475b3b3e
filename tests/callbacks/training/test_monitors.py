"""Spread and rank of embeddings on cases with known answers; when the monitor looks, logs and warns."""

import math
import warnings
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from callbacks import CollapseMonitor
from callbacks.training.monitors import effective_rank, embedding_spread
from lightning_modules import VFSMoCo
from tests.helpers.contrast import loader, quiet_trainer


def test_spread_is_one_on_the_sphere_and_zero_in_a_point() -> None:
    assert math.isclose(embedding_spread(torch.randn(5000, 64)).item(), 1, abs_tol=0.02)
    assert embedding_spread(torch.randn(1, 64).expand(50, -1)).item() < 1e-6
    two = torch.tensor([[3.0, 0.0], [-5.0, 0.0]])  # unit vectors ±e1: deviations √2 and 0
    assert math.isclose(embedding_spread(two).item(), math.sqrt(2) / 2 * math.sqrt(2), rel_tol=1e-6)


def test_rank_counts_directions() -> None:
    assert math.isclose(effective_rank(torch.randn(1, 16).expand(20, -1)).item(), 1, abs_tol=1e-3)
    three = torch.eye(16)[:3].repeat(10, 1)
    assert math.isclose(effective_rank(three).item(), 3, abs_tol=1e-3)
    assert effective_rank(three * torch.nan).isnan()  # and no error: Safeguards ends the run by its loss
    two_to_one = torch.eye(4)[[0, 0, 0, 0, 1]]  # singular values 2 and 1
    entropy = -(2 / 3 * math.log(2 / 3) + 1 / 3 * math.log(1 / 3))
    assert math.isclose(effective_rank(two_to_one).item(), math.exp(entropy), rel_tol=1e-5)


@pytest.mark.parametrize("function", [embedding_spread, effective_rank])
def test_bad_embeddings_raise(function: Any) -> None:
    with pytest.raises(ValueError, match=r"\(1, 4\)"):
        function(torch.zeros(1, 4))
    with pytest.raises(ValueError, match=r"\(2, 2, 4\)"):
        function(torch.zeros(2, 2, 4))
    with pytest.raises(ValueError, match="every_n_steps"):
        CollapseMonitor(every_n_steps=0)


class Seen(pl.Callback):
    def __init__(self) -> None:
        self.logged: dict[int, dict[str, float]] = {}

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        found = {name: float(value) for name, value in trainer.callback_metrics.items() if "monitor" in name}
        if found:
            self.logged[trainer.global_step] = found


def test_it_logs_what_a_step_publishes() -> None:
    module, seen = VFSMoCo("tests.helpers.contrast:Tiny", 4, queue_size=32), Seen()
    monitor = CollapseMonitor(every_n_steps=2)
    quiet_trainer(max_steps=6, log_every_n_steps=1, callbacks=[monitor, seen]).fit(module, loader(24, 4))
    assert min(seen.logged) == 2
    last = seen.logged[6]
    assert set(last) == {
        "monitor/embedding_std",
        "monitor/effective_rank",
        "monitor/positive_similarity",
        "monitor/negative_similarity",
        "monitor/queue_age",
    }
    assert last["monitor/queue_age"] == 4  # 32 places, 8 keys a step, all filled when step 6 began
    assert seen.logged[2]["monitor/queue_age"] == 1
    assert -1 <= last["monitor/negative_similarity"] <= 1


class Publishes(pl.LightningModule):
    """Embeddings in one point for the first 8 steps, then on the sphere."""

    def __init__(self, name: str = "embeddings") -> None:
        super().__init__()
        self.layer, self.name = nn.Linear(1, 1), name

    def training_step(self, batch: Any, batch_index: int) -> dict[str, Tensor]:
        loss = self.layer(torch.ones(1, 1)).sum()
        embeddings = torch.ones(16, 8) if self.global_step < 8 else torch.randn(16, 8)
        return {"loss": loss, self.name: embeddings}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


def test_it_warns_once_after_some_patience() -> None:
    monitor = CollapseMonitor(every_n_steps=2, patience=3)
    with pytest.warns(UserWarning, match=r"step 6: the embeddings have collapsed.*0\.000"):
        quiet_trainer(max_steps=12, callbacks=[monitor]).fit(Publishes(), loader(64, 4))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        quiet_trainer(max_steps=12, callbacks=[CollapseMonitor(2, patience=5)]).fit(Publishes(), loader(64, 4))
    assert not [warning for warning in caught if "collapsed" in str(warning.message)]


def test_a_module_without_embeddings_is_refused() -> None:
    with pytest.raises(ValueError, match="Publishes returns no embeddings"):
        quiet_trainer(max_steps=2, callbacks=[CollapseMonitor(1)]).fit(Publishes("other"), loader(8, 4))
