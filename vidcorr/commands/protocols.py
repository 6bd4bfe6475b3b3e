"""The flags and the call of `vidcorr protocols`."""

from argparse import Namespace

from ..experiments.runs.flags import Flag

FLAGS = (
    Flag("name", "protocol, with or without changed fields: vfs+radius=6", nargs="?"),
    Flag("other", "second protocol, to compare", nargs="?"),
    Flag("--script", "print the evaluation of DAVIS by the protocol as one plain Python file", action="store_true"),
)


def run(flags: Namespace) -> None:
    """Print the list of protocols, a protocol's values, the differences of two, or a protocol as a plain Python file.

    Raises:
        ValueError: for a user's mistake.
    """
    from ..experiments.reports.protocol_texts import list_of_protocols, tables_of_differences, tables_of_protocol
    from ..protocols.script import script_of

    if flags.script:
        if flags.name is None or flags.other:
            raise ValueError("protocols --script: name one protocol, as vidcorr protocols dino --script")
        print(script_of(flags.name), end="")
    elif flags.name is None:
        print(list_of_protocols(), end="")
    elif flags.other is None:
        print(tables_of_protocol(flags.name))
    else:
        print(tables_of_differences(flags.name, flags.other))
