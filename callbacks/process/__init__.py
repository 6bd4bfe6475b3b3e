"""The process of a command: signals that ask it to stop, and locks of the folders that it writes."""
