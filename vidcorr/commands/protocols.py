"""The flags and the call of `vidcorr protocols`."""

from argparse import Namespace

from ..experiments.flags import Flag

FLAGS = (
    Flag("name", "protocol, with or without changed fields: vfs+radius=6", nargs="?"),
    Flag("other", "second protocol, to compare", nargs="?"),
)


def run(flags: Namespace) -> None:
    """Run the command; a user's mistake raises ValueError."""
    from ..experiments.protocols import compared, described, listed

    if flags.name is None:
        print(listed(), end="")
    elif flags.other is None:
        print(described(flags.name))
    else:
        print(compared(flags.name, flags.other))
