"""The evaluation of DAVIS in one plain file, as `vidcorr protocols NAME --script` prints it."""

from functools import cache
from types import SimpleNamespace

from vidcorr.protocols.script import script_of


@cache
def plain_davis(protocol: str) -> SimpleNamespace:
    """Return the functions of a protocol's script."""
    functions: dict[str, object] = {"__name__": "plain_davis"}
    exec(compile(script_of(protocol), f"davis_{protocol}.py", "exec"), functions)
    return SimpleNamespace(**functions)
