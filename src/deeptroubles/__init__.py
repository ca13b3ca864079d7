"""Is my image classifier right for the right reasons?

import deeptroubles as dt

model = dt.load_classifier("efficientnet-lite0")
images = dt.load_images("photos/")
audit = dt.audit(model, images, out="runs/first")
"""

import lazy_loader

# Names are imported when they are first used: reading a run needs no torch. `__init__.pyi` says where each comes from.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
