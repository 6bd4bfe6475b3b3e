"""Shared matches: a sweep's labels equal those of each protocol alone, and features are searched once."""

import pytest
import torch

from lightning_modules.functional import LabelPropagator, PropagationProtocol
from lightning_modules.functional.propagation import propagate
from lightning_modules.functional.propagation.references import KeyMemory, MatchFinder, matching_groups

VFS = PropagationProtocol.named("vfs", "davis").with_changes(radius=4, context=3)


def variants(base: PropagationProtocol) -> list[PropagationProtocol]:
    return [base.with_changes(topk=topk, temperature=temperature) for topk in (1, 5, 12) for temperature in (0.05, 0.2)]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"first_frame_masked": False},
        {"neighbourhood": "square"},
        {"repeat_first": "padding"},
        {"references": (0, -2, -1)},
        {"feature_normalisation": "raw", "temperature": 3.0},
        {"label_feedback": "hard"},
        {"precision": "float64"},
    ],
    ids=str,
)
def test_shared_propagators_equal_lone_ones(changes: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    protocols = variants(VFS.with_changes(**changes))
    features = torch.randn(9, 16, 11, 13)
    first = torch.randn(3, 11, 13).softmax(0)
    entering = {4: torch.nn.functional.one_hot(torch.randint(0, 3, (11, 13)), 3).permute(2, 0, 1).float()}
    expected = [list(propagate.propagate_labels(features, first, protocol, entering)) for protocol in protocols]
    calls, search = [], KeyMemory.best_matches
    monkeypatch.setattr(KeyMemory, "best_matches", lambda *a, **k: calls.append(1) or search(*a, **k))
    finder = MatchFinder(protocols)
    together = [LabelPropagator(first, protocol, finder) for protocol in protocols]
    for t, frame in enumerate(features):
        for propagator, alone in zip(together, expected, strict=True):
            torch.testing.assert_close(propagator.step(frame, entering.get(t)), alone[t])
    sources = 2 if changes.get("first_frame_masked") is False else 1
    assert len(calls) == sources * (len(features) - 1)


def test_groups_hold_what_matches_alike() -> None:
    protocols = [*variants(VFS), VFS.with_changes(radius=5), VFS.with_changes(label_encoding="bilinear")]
    assert matching_groups(protocols) == [[0, 1, 2, 3, 4, 5, 7], [6]]


def test_protocols_that_need_every_match_stand_alone() -> None:
    ties = VFS.with_changes(topk_ties="kept")
    liir = PropagationProtocol.named("liir", "davis")
    assert matching_groups([ties, ties.with_changes(topk=3), liir, liir]) == [[0], [1], [2], [3]]
