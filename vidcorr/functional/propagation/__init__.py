"""Label propagation; files in reading order.

`coding`: frames to the network's input, annotations to labels and back. `propagate`: the references of a frame, and its
labels from theirs. `memory`: maps of the references, and the search by a native kernel. `attention`:
the same search, and the average of all neighbours, by torch. `matches`: cells and weights of single points. All
numbers are fields of `PropagationProtocol`, in `vidcorr.protocols`.
"""
