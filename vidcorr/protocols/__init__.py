"""Protocols of evaluations: each number and rule that affects a score; their named values are data, protocols.yaml."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
