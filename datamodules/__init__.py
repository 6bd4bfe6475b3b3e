"""DataModules for videos, images and labelled boxes.

`__init__.pyi` lists the public names. Names are imported on first use, so tools that need no torch start at once.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub("vidcorr.datamodules", __file__)
if __name__ == "datamodules":  # in a clone: the classes of `vidcorr.datamodules` by a shorter name, and no file twice
    __path__: list[str] = []
