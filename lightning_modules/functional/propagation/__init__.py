"""Label propagation, in the order in which it reads.

`protocol`, over `network_input`: every number of it. `sizing` and `label_coding`: what the network sees, and
annotations to labels and back. `propagate`: the labels of a frame from those of its references. `references`: which
frames these are, where they are kept, and the best matches in them. `attention` and `tiles`: the search by torch.
`screened_search`: the search by a native kernel.
"""
