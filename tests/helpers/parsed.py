"""Command lines that are parsed, or built, and not run."""

from callbacks.lightning_cli import VidcorrCLI, import_classes


class Built(VidcorrCLI):
    """The command line with model, data and Trainer, which do not run."""

    def __init__(self, args):
        import_classes()
        super().__init__(args)

    def _run_subcommand(self, subcommand):
        """Run nothing."""


class Parsed(Built):
    """The command line as far as it is parsed: nothing is made."""

    def instantiate_classes(self):
        """Make nothing."""
