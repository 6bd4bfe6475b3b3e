"""The user's own code as a digest, by which a stored result of it is known again."""

import json
import re
import sys
import sysconfig
from collections.abc import Iterable
from functools import cache
from types import ModuleType

from ...backbones import EncoderSpec, load, weights_digest
from ...benchmarks.base import Benchmark
from ...benchmarks.network import GivenNetwork
from ...videos.digests import file_digest, text_digest

INSTALLED = re.compile(rf"{re.escape(sysconfig.get_path('stdlib'))}|.*[/\\](site|dist)-packages[/\\]")
"""Files of Python and of installed packages."""
first_digest = cache(file_digest)
"""Digest of a file when this process first read it: it goes on with this code, even if the file is edited meanwhile."""


def digest_of_own_code(network: EncoderSpec | GivenNetwork, benchmark: Benchmark) -> str | None:
    """Return a digest of the user's code, and of the weights it gives, that a result depends on.

    Returns:
        "" if all code is the library's; None if nothing tells, as for a network in memory or one that cannot be made.
    """
    modules = {type(benchmark).__module__, type(benchmark.protocol).__module__}
    weights = ""
    if isinstance(network, GivenNetwork):
        return None
    try:
        if not network.is_reusable:
            weights, further = _weights_and_modules(network)
            modules |= further
    except Exception:  # any, of the user's code; `evaluate` tells it
        return None
    files = files_of_own_code(modules)
    if files is None or not (weights or files):
        return None if files is None else ""
    return text_digest(json.dumps([weights, files], sort_keys=True))


@cache
def _weights_and_modules(network: EncoderSpec) -> tuple[str, frozenset[str]]:
    encoder = load(network)
    parts = (*encoder.modules(), encoder.user_module[0])
    callable_of = network.located[0].partition(":")[0]
    return weights_digest(encoder), frozenset({callable_of, *(type(part).__module__ for part in parts)})


def files_of_own_code(modules: Iterable[str]) -> dict[str, str] | None:
    """Return name → digest of the user's modules, of those whose values they hold too; None in a notebook."""
    found: dict[str, str] = {}
    left = list(modules)
    while left:
        name = left.pop()
        module = sys.modules.get(name)
        file = getattr(module, "__file__", None)
        if name == "__main__" and file is None:
            return None
        if file is None or name in found or name.startswith("vidcorr.") or INSTALLED.match(file):
            continue
        found[name] = first_digest(file)
        for value in vars(module).values():
            left.append(value.__name__ if isinstance(value, ModuleType) else str(getattr(value, "__module__", "")))
    return found
