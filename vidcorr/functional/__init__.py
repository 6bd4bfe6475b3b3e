"""Pure tensor functions: affinity, label propagation, points, losses.

`__init__.pyi` lists the public names. Each is imported on first use.
"""

import lazy_loader

from ..protocols.label_protocols import PropagationProtocol as PropagationProtocol

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
