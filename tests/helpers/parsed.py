"""Command lines that are parsed, or built, and not run."""

from typing import Any, ClassVar

from vidcorr.cli import VidcorrCLI


class Built(VidcorrCLI):
    """The command line with model, data and Trainer, which do not run."""

    def _run_subcommand(self, subcommand):
        """Run nothing."""


class Parsed(Built):
    """The command line as far as it is parsed: nothing is made. A command has one parser, half of the time."""

    parser_parts: ClassVar[dict[str, dict[str, Any]]] = {}

    def setup_parser(self, *args, **options):
        """Make the parser the first time."""
        if self.command not in self.parser_parts:
            before = set(vars(self))
            super().setup_parser(*args, **options)
            made = {name: part for name, part in vars(self).items() if name not in before}
            self.parser_parts[self.command] = made
        vars(self).update(self.parser_parts[self.command])

    def instantiate_classes(self):
        """Make nothing."""
