"""The page that shows what a benchmark run found, readable in a browser without a network.

`__init__.pyi` lists the public names. Each is imported on first use: tables need no more than published scores.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
