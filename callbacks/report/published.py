"""Scores that papers print for whole test sets, by their own codes; reports show them beside a whole test set only."""

SEQUENCES = {"davis": 30, "jhmdb": 268, "vip": 50, "otb": 100}
"""Of the test set that a paper means: DAVIS-2017 val, JHMDB split 1, VIP val, OTB-100."""

PUBLISHED: dict[str, dict[str, dict[str, float]]] = {
    "davis": {
        "supervised ResNet-18": {"J&F-Mean": 0.629},
        "VFS, ResNet-18": {"J&F-Mean": 0.667, "J-Mean": 0.640, "F-Mean": 0.694},
        "VFS, ResNet-50": {"J&F-Mean": 0.689},
        "CRW, ResNet-18": {"J&F-Mean": 0.676},
        "Liir, ResNet-18": {"J&F-Mean": 0.721, "J-Mean": 0.697, "F-Mean": 0.745},
        "DINO, ViT-B/8": {"J&F-Mean": 0.714},
    },
    "jhmdb": {"Liir, ResNet-18": {"PCK@0.1": 0.607, "PCK@0.2": 0.815}},
    "vip": {"Liir, ResNet-18": {"mIoU": 0.412, "AP": 0.221}},
    "otb": {
        "VFS, ResNet-18, frozen": {"success": 0.396, "precision@20px": 0.530},
        "VFS, ResNet-18, fine-tuned": {"success": 0.522, "precision@20px": 0.689},
        "VFS, ResNet-50, fine-tuned": {"success": 0.525, "precision@20px": 0.739},
    },
}
