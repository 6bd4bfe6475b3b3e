"""Point tracking by the features of a network."""
