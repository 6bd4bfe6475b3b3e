"""Files of weights: what they may name, how they are read, and names within them."""
