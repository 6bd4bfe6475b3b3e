"""Networks for `torch.hub.load`, by the installed package."""

dependencies = ["torch", "vidcorr"]


def vidcorr_r18(stage: str = "res4", stride: int = 8):  # type: ignore[no-untyped-def]
    """Return vidcorr's ResNet-18 as a feature extractor: RGB `(B, 3, H, W)` in [0, 1] to maps `(B, 256, H/8, W/8)`.

    Args:
        stage: stage of the features.
        stride: pixels per cell.
    """
    from vidcorr.backbones import build_feature_extractor

    return build_feature_extractor("vidcorr-r18", stage=stage, stride=stride)
