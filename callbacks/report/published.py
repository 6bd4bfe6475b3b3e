"""Scores that papers print, as data: shown beside a result only on the whole test set and by the same protocol."""

from collections.abc import Mapping
from typing import Any, NamedTuple

SEQUENCES = {"davis": 30, "jhmdb": 268, "vip": 50, "otb": 100}
"""Number of sequences in the test set that papers report: DAVIS-2017 val, JHMDB split 1, VIP val, OTB-100."""


class Published(NamedTuple):
    """One row of a paper's table.

    Attributes:
        name: method and network.
        benchmark: that it was scored on.
        protocol: our name of the protocol that it was scored by.
        certain: whether code or text say so; where not, the row stands in no table of results.
        source: paper and table.
        scores: key → fraction.
    """

    name: str
    benchmark: str
    protocol: str
    certain: bool
    source: str
    scores: Mapping[str, float]


def _davis(both: float, region: float, boundary: float) -> dict[str, float]:
    return {"J&F-Mean": both, "J-Mean": region, "F-Mean": boundary}


def _pck(first: float, second: float) -> dict[str, float]:
    return {"PCK@0.1": first, "PCK@0.2": second}


def _track(precision: float, success: float) -> dict[str, float]:
    return {"success": success, "precision@20px": precision}


VFS = "VFS (arXiv 2103.17263)"
LIIR = "Liir (arXiv 2203.14333)"
PUBLISHED = (
    # Whether the rows of other methods in VFS's tables were measured by its code, the paper leaves open.
    Published("supervised, ResNet-18", "davis", "vfs", False, f"{VFS}, Table 7", _davis(0.629, 0.606, 0.652)),
    Published("SimSiam, ResNet-18", "davis", "vfs", False, f"{VFS}, Table 7", _davis(0.620, 0.600, 0.640)),
    Published("MoCo, ResNet-18", "davis", "vfs", False, f"{VFS}, Table 7", _davis(0.608, 0.586, 0.631)),
    Published("VFS, ResNet-18", "davis", "vfs", True, f"{VFS}, Table 7", _davis(0.667, 0.640, 0.694)),
    Published("VFS, ResNet-18, best block", "davis", "vfs", True, f"{VFS}, Table 7", _davis(0.679, 0.650, 0.708)),
    # The paper's Table A.1 has radius 12, the released R50 config 18.
    Published("VFS, ResNet-50", "davis", "vfs-r50", False, f"{VFS}, Table 7", _davis(0.689, 0.665, 0.713)),
    Published("VFS, ResNet-50, best block", "davis", "vfs-r50", False, f"{VFS}, Table 7", _davis(0.694, 0.667, 0.720)),
    Published("CRW, ResNet-18", "davis", "crw", False, f"{VFS}, Table 7", _davis(0.676, 0.648, 0.702)),
    Published("Liir, ResNet-18", "davis", "liir", True, f"{LIIR}, section 4.1", _davis(0.721, 0.697, 0.745)),
    Published("DINO, ViT-B/8", "davis", "dino", True, f"{LIIR}, section 4.1", _davis(0.714, 0.679, 0.749)),
    # The input's size on JHMDB and VIP is inferred from the code family, so the protocol is not certain.
    Published("supervised, ResNet-18", "jhmdb", "vfs", False, f"{VFS}, Table 7", _pck(0.538, 0.746)),
    Published("VFS, ResNet-18", "jhmdb", "vfs", False, f"{VFS}, Table 7", _pck(0.605, 0.795)),
    Published("VFS, ResNet-50", "jhmdb", "vfs", False, f"{VFS}, Table 7", _pck(0.609, 0.807)),
    Published("Liir, ResNet-18", "jhmdb", "liir", False, f"{LIIR}, section 4.3", _pck(0.607, 0.815)),
    Published("supervised, ResNet-18", "vip", "vfs", False, f"{VFS}, Table 7", {"mIoU": 0.319}),
    Published("VFS, ResNet-18", "vip", "vfs", False, f"{VFS}, Table 7", {"mIoU": 0.399}),
    Published("VFS, ResNet-50", "vip", "vfs", False, f"{VFS}, Table 7", {"mIoU": 0.432}),
    Published("Liir, ResNet-18", "vip", "liir", False, f"{LIIR}, section 4.2", {"mIoU": 0.412}),
    # Table 8 fine-tunes; the frozen rows are those of the ablation of frames (n = 8).
    Published("supervised, ResNet-18, fine-tuned", "otb", "vfs", False, f"{VFS}, Table 8", _track(0.614, 0.430)),
    Published("VFS, ResNet-18, frozen, n = 8", "otb", "vfs", True, f"{VFS}, Table 4", _track(0.530, 0.396)),
    Published("VFS, ResNet-18, fine-tuned", "otb", "vfs", True, f"{VFS}, Table 8", _track(0.689, 0.522)),
    Published("VFS, ResNet-50, fine-tuned", "otb", "vfs", True, f"{VFS}, Table 8", _track(0.739, 0.525)),
)


def published_beside(results: Mapping[str, Any]) -> list[Published]:
    """Return the rows that compare with a result: the same benchmark, all its sequences, and certainly its protocol.

    Args:
        results: content of results.json.
    """
    protocol = results.get("protocol")
    name = protocol.get("name") if isinstance(protocol, Mapping) else None
    if results.get("sequences") != SEQUENCES.get(results.get("benchmark", ""), -1):
        return []
    return [row for row in PUBLISHED if row.certain and row.benchmark == results["benchmark"] and row.protocol == name]
