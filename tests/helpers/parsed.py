"""Command lines that are parsed and not run."""

from callbacks.command_line.runs import VidcorrCLI


class Parsed(VidcorrCLI):
    """The command line as far as it is parsed: nothing is made."""

    def instantiate_classes(self):
        """Make nothing."""
