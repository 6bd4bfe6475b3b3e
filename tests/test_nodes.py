"""Two "nodes" on one machine: torchrun started twice over the loopback, as on two machines."""

import json
from collections import Counter

import pytest

from tests.helpers.nodes import run_on_nodes
from tests.helpers.words import TINY, clips, davis, flags


@pytest.mark.slow
def test_fit_on_two_nodes(video_folder, davis_root, tmp_path):
    words = ["fit", *TINY, *clips(video_folder, repeat=2, validation_fraction=0.3)]
    words += flags("trainer", strategy="ddp", num_nodes=2, devices=1, max_epochs=2, accumulate_grad_batches=2)
    words += flags("trainer.callbacks+", "tests.helpers.nodes.Witness", folder=tmp_path)
    words += [f"--trainer.default_root_dir={tmp_path}", *davis(davis_root, stage="res4", every_n_epochs=2)]
    printed = run_on_nodes(2, words)
    first, second = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in range(2))
    assert [told["rank"] for told in (first, second)] == [0, 1]
    assert [told["node"] for told in (first, second)] == [0, 1]
    assert first["ranks"] == second["ranks"] == 2
    assert first["weights"] == second["weights"]
    assert first["steps"] == second["steps"] == 2
    assert "8 videos = 2 per device × 2 device(s) × 2 accumulated" in printed[0]
    assert "global batch" not in printed[1]
    for epoch in (slice(0, 4), slice(4, 8)):  # four videos, each of them twice
        seen = Counter(first["videos"][epoch] + second["videos"][epoch])
        assert sorted(seen.values()) == [2, 2, 2, 2]

    (results,) = tmp_path.glob("lightning_logs/version_0/benchmarks/davis/*/results.json")
    content = json.loads(results.read_text())
    assert content["ranks"] == 2
    rows = (results.parent / "per_sequence.csv").read_text().splitlines()
    assert sum(row.startswith("synthetic-") for row in rows) >= 3
    assert len(list((results.parent / "predictions").iterdir())) == 3
