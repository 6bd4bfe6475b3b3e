"""Checkpoints on the Hugging Face hub: `hf://OWNER/NAME/FILE`, or `hf://OWNER/NAME` with one file of weights."""

import os
from pathlib import Path

HUB = "hf://"
WEIGHTS = (".ckpt", ".pt", ".pth", ".safetensors")
"""Endings of the files of weights."""


def on_hub(path: object) -> bool:
    """Return whether a path is an address on the hub."""
    return str(path).startswith((HUB, "hf:/"))  # `Path` takes one slash away


def local_file(path: str | Path) -> Path:
    """Return the path of a file; one on the hub is downloaded into the hub's cache, or found there without a network.

    Args:
        path: a path, or `hf://OWNER/NAME/FILE`; `hf://OWNER/NAME` stands for its one file of weights.

    Raises:
        ValueError: one line, if the address has another form, or the file is neither there nor in the cache.
    """
    if not on_hub(path):
        return Path(path)
    from huggingface_hub import HfApi

    owner, _, rest = str(path).removeprefix(HUB).removeprefix("hf:/").partition("/")
    name, _, file = rest.partition("/")
    if not owner or not name:
        raise ValueError(f"{path}: write {HUB}OWNER/NAME/FILE or {HUB}OWNER/NAME")
    repository = f"{owner}/{name}"
    hub = HfApi(endpoint=os.environ.get("HF_ENDPOINT"))
    try:
        if not file:
            files = [each for each in hub.list_repo_files(repository) if each.endswith(WEIGHTS)]
            if len(files) != 1:
                raise ValueError(f"holds {len(files)} files of weights ({', '.join(files[:5])}); name one of them")
            file = files[0]
        return Path(hub.hf_hub_download(repository, file))
    except Exception as error:  # the client's errors are of many types
        told = " ".join(str(error).split())
        raise ValueError(f"{path}: {told[:300]}") from error


def source_of(path: str | Path) -> str:
    """Return what a file is called in results: its name; of a file of the hub's cache its address with the revision.

    Example:
        >>> source_of("runs/last.ckpt")
        'last.ckpt'
        >>> source_of("hub/models--me--vfs/snapshots/0123456789abcdef/last.ckpt")
        'hf://me/vfs/last.ckpt at 0123456789ab'
    """
    path = Path(path)
    for snapshots in path.parents:
        if snapshots.name == "snapshots" and snapshots.parent.name.startswith("models--"):
            repository = snapshots.parent.name.removeprefix("models--").replace("--", "/")
            revision, *file = path.relative_to(snapshots).parts
            return f"{HUB}{repository}/{'/'.join(file)} at {revision[:12]}"
    return path.name
