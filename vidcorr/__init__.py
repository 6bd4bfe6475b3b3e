"""Video correspondence without a training framework: features, propagation, benchmarks and their results.

`__init__.pyi` lists the public names. Each is imported on first use, so commands that need no torch start at once.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
