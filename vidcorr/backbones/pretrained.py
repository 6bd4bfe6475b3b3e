"""Pretrained networks by short names (`--model dino-b8`), and a check that weights can be had; imports no torch.

The check says within seconds whether the weights of timm and torchvision are cached or can be downloaded.
"""

import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

TIMEOUT = 5
"""Seconds to wait for a server's answer."""
SHORT_NAMES = {
    "dino-s16": "timm:vit_small_patch16_224.dino@block12",
    "dino-s8": "timm:vit_small_patch8_224.dino@block12",
    "dino-b16": "timm:vit_base_patch16_224.dino@block12",
    "dino-b8": "timm:vit_base_patch8_224.dino@block12",
    "dinov2-s14": "timm:vit_small_patch14_reg4_dinov2.lvd142m@block12",  # with registers
    "dinov2-b14": "timm:vit_base_patch14_reg4_dinov2.lvd142m@block12",
    "dinov2-l14": "timm:vit_large_patch14_reg4_dinov2.lvd142m@block24",
    "dinov3-s16": "timm:vit_small_patch16_dinov3.lvd1689m@block12",
    "dinov3-b16": "timm:vit_base_patch16_dinov3.lvd1689m@block12",
    "dinov3-l16": "timm:vit_large_patch16_dinov3.lvd1689m@block24",
    "mae-b16": "timm:vit_base_patch16_224.mae@block12",
    "supervised-r18": "timm:resnet18.tv_in1k@res4",
    "supervised-r50": "timm:resnet50.tv_in1k@res4",
}
"""Name → pretrained network and the stage of its published evaluation, or its last block.

Weights come from timm's cache, or over the network at first use.
"""
NAMED = {long.partition("@")[0] for long in SHORT_NAMES.values()}
"""Networks with a short name; timm keeps their weights in the repository `timm/NAME`."""


def read_spec(text: str) -> dict[str, Any]:
    """Read a backbone from the command line.

    Args:
        text: `SPEC`, `SPEC@STAGE` or `SPEC@STAGE/STRIDE`; SPEC is a spec of `build_feature_extractor`, or a short name
            that implies pretrained weights and a stage.

    Returns:
        Arguments of `FrozenEncoder`: spec, stage, stride and pretrained; None is its default.

    Raises:
        ValueError: if the stride is not a number.
    """
    given, _, view = text.partition("@")
    stage, _, stride = view.partition("/")
    if stride and not stride.isdecimal():
        raise ValueError(f"{text}: the stride {stride!r} is not a number; write SPEC@STAGE/STRIDE")
    spec, _, default_stage = SHORT_NAMES.get(given, given).partition("@")
    return {
        "spec": spec,
        "stage": stage or default_stage or None,
        "stride": int(stride) if stride else None,
        "pretrained": True if given in SHORT_NAMES else None,
    }


def require_named(words: Sequence[str]) -> None:
    """Check the weights of the short names among the words of a command line, unless it sets `--model.pretrained`.

    Raises:
        ValueError: see `require_timm`.
    """
    if any(word.startswith("--model.pretrained") for word in words):
        return
    for word in words:
        name = word.removeprefix("--model=")
        if name.partition("@")[0] in SHORT_NAMES:
            require_timm(read_spec(name)["spec"])


def require_timm(spec: str) -> None:
    """Check the weights of `timm:NAME`; timm is imported only for a network without a short name.

    Raises:
        ValueError: naming file, cache and the conversion of a local file.
    """
    import huggingface_hub as hub

    repository: str | None = spec.replace(":", "/", 1)
    if spec not in NAMED:
        import timm

        known = timm.get_pretrained_cfg(spec.partition(":")[2])
        repository = known.hf_hub_id if known else None
    files = ("model.safetensors", "pytorch_model.bin")
    if not repository or any(isinstance(hub.try_to_load_from_cache(repository, file), str) for file in files):
        return
    url = hub.hf_hub_url(repository, files[0])
    try:
        hub.get_hf_file_metadata(url, timeout=TIMEOUT)
    except hub.errors.HfHubHTTPError:
        return  # the hub answers, and timm reports missing files
    except Exception as error:  # the type depends on the hub's HTTP library
        raise _missing(spec, url, hub.constants.HF_HUB_CACHE) from error


def require_torchvision(spec: str, url: str, cache: Path) -> None:
    """Check the weights of `torchvision:NAME`.

    Args:
        spec: the network.
        url: address of the weights.
        cache: folder of downloaded files.

    Raises:
        ValueError: naming file, cache and the conversion of a local file.
    """
    if (cache / url.rpartition("/")[2]).is_file():
        return
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=TIMEOUT).close()
    except urllib.error.HTTPError:
        return  # the server answers, and torchvision reports a missing file
    except OSError as error:
        raise _missing(spec, url, cache) from error


def _missing(spec: str, url: str, cache: object) -> ValueError:
    return ValueError(
        f"backbone {spec}: its weights are not in {cache}, and {url} cannot be reached. Copy this file here and "
        f"convert it: vidcorr convert {url.rpartition('/')[2]} OUT.ckpt --architecture {spec}"
    )
