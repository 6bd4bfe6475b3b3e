"""Label propagation; files in reading order.

`sizing`: the network's input. `label_coding`: annotations to labels and back. `propagate`: labels of a frame from the
labels of its references. `references`: choice of the reference frames, and the best matches in them. `memory`: maps of
the references, and the search by a native kernel. `attention`, `tiles`: the search by torch. All numbers are fields of
`PropagationProtocol`, in `functional.protocols`.
"""
