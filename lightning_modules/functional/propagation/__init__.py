"""Label propagation, in the order in which it reads.

`sizing` and `label_coding`: what the network sees, and annotations to labels and back. `propagate`: the labels of a
frame from those of its references. `references`: which frames these are, and the best matches in them. `memory`: where
they are kept, and the search by a native kernel. `attention` and `tiles`: the search by torch. Every number of it is a
field of `PropagationProtocol`, in `functional.protocols`.
"""
