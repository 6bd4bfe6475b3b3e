"""Command lines that are parsed, or built, and not run."""

from typing import Any, ClassVar

from vidcorr.cli import VidcorrCLI


class Built(VidcorrCLI):
    """The command line with model, data and Trainer, which do not run. A command has one parser, half of the time."""

    parser_parts: ClassVar[dict[str, dict[str, Any]]] = {}

    def setup_parser(self, *args, **options):
        """Make the parser the first time; that of a checkpoint's model is of other arguments."""
        parts = self.parser_parts.setdefault(self.command, {})
        if not parts:
            before = set(vars(self))
            super().setup_parser(*args, **options)
            parts.update((name, part) for name, part in vars(self).items() if name not in before)
        vars(self).update(parts)

    def _run_subcommand(self, subcommand):
        """Run nothing."""


class Parsed(Built):
    """The command line as far as it is parsed: nothing is made."""

    def instantiate_classes(self):
        """Make nothing."""
