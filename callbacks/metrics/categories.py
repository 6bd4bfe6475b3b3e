"""YouTube-VOS's averages of object scores, separately for categories seen and not seen in training."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def seen_and_unseen(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return `Overall` and J and F of seen and unseen categories.

    Args:
        rows: one per object, with `J-Mean`, `F-Mean` and `Unseen`.

    Returns:
        Fractions; empty where there are no rows.

    Example:
        >>> rows = [{"J-Mean": 0.5, "F-Mean": 0.75, "Unseen": False}, {"J-Mean": 0.25, "F-Mean": 0.5, "Unseen": True}]
        >>> seen_and_unseen(rows)
        {'Overall': 0.5, 'J-Seen': 0.5, 'F-Seen': 0.75, 'J-Unseen': 0.25, 'F-Unseen': 0.5}
    """
    scores = {
        f"{measure}-{kind}": float(np.mean([row[f"{measure}-Mean"] for row in chosen]))
        for kind, unseen in (("Seen", False), ("Unseen", True))
        if (chosen := [row for row in rows if row["Unseen"] is unseen])
        for measure in ("J", "F")
    }
    return {"Overall": float(np.mean(list(scores.values()))), **scores} if scores else {}
