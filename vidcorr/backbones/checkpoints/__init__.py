"""Checkpoints of this project: their metadata, safe reading, and the classes that they may construct.

`__init__.pyi` lists the public names. Each is imported on first use, so that reading needs no Lightning.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
