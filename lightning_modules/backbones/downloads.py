"""Check within seconds that the weights of timm and torchvision are cached or can be downloaded; imports no torch."""

import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from .short_names import SHORT_NAMES, read_spec

TIMEOUT = 5
"""Seconds to wait for a server's answer."""
NAMED = {long.partition("@")[0] for long in SHORT_NAMES.values()}
"""Networks with a short name; timm keeps their weights in the repository `timm/NAME`."""


def require_named(words: Sequence[str]) -> None:
    """Check the weights of the short names among the words of a command line, unless it sets `--model.pretrained`.

    Raises:
        ValueError: see `require_timm`.
    """
    for word in () if any(word.startswith("--model.pretrained") for word in words) else words:
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
