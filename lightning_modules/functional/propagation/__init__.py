"""Label propagation: its protocols, the engine, and the coding of labels."""
