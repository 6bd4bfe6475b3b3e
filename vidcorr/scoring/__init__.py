"""People's predictions on disk, scored by the rules of the data sets."""
