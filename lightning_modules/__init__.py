"""Methods as LightningModules, one per file.

`__init__.pyi` lists the public names. Each is imported on first use, so tools that need no torch start at once.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub("vidcorr.lightning_modules", __file__)
# in a clone: the classes of `vidcorr.lightning_modules` by a shorter name, and no file twice
if __name__ == "lightning_modules":
    __path__: list[str] = []
