"""The command line behind `cli.py`: Lightning's runs, configs by name, and one line for each mistake."""
