"""Benchmarks, checkpoints, stops and monitors as Lightning callbacks.

`__init__.pyi` lists the public names. Each is imported on first use, so tools that need no torch start at once.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub("vidcorr.callbacks", __file__)
if __name__ == "callbacks":  # in a clone: the classes of `vidcorr.callbacks` by a shorter name, and no file twice
    __path__: list[str] = []
