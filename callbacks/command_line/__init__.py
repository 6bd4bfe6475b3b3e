"""The command line behind `cli.py`: Lightning's commands, configs by name, and messages for mistakes."""
