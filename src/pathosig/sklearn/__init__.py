"""The signature as a scikit-learn estimator, for pipelines, grid searches and `cross_val_score`."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
