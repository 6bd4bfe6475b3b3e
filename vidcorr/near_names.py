"""The nearest known name in answer to a misspelt one; the parser of the commands answers flags by it."""

from argparse import ArgumentParser
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn


def nearest(written: str, known: Iterable[str]) -> str:
    """Return the known name that a misspelt one probably means; "" without one.

    Example:
        >>> nearest("raduis", ["radius", "topk"])
        'radius'
    """
    near = get_close_matches(written, list(known), 1, cutoff=0.8)
    return near[0] if near else ""


def did_you_mean(written: str, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown name: the nearest known name; "" without one."""
    near = nearest(written, known)
    return f"; did you mean {near}?" if near else ""


class CommandParser(ArgumentParser):
    """argparse's parser, whose errors name the nearest flag for every misspelt one.

    argparse may complain of something else first, such as the required flag that was misspelt.
    """

    words: Sequence[str] = ()
    """The last arguments that were parsed."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse arguments, and keep them for the message of an error."""
        self.words = args or ()
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Print a message with the nearest flag for each unknown one, and exit with status 2."""
        known = self._option_string_actions
        for word in self.words:
            flag = word.partition("=")[0]
            is_misspelt = flag.startswith("--") and flag not in known
            near = nearest(flag, known) if is_misspelt else ""
            if near:
                message += f"; {flag}: did you mean {near}?"
        super().error(message)
