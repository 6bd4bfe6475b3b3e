"""Command lines that are parsed, or built, and not run."""

from cli import VidcorrCLI


class Built(VidcorrCLI):
    """The command line with model, data and Trainer, which do not run."""

    def _run_subcommand(self, subcommand):
        """Run nothing."""


class Parsed(Built):
    """The command line as far as it is parsed: nothing is made."""

    def instantiate_classes(self):
        """Make nothing."""
