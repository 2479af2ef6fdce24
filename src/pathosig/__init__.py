"""pathosig: from H&E slides to phenotypes to a validated, frozen survival signature.

`import pathosig` is light: names below are loaded when first used. Every command is here under its own name (`init`,
`check`, `run`, `status`, `audit`, `bundle`, `score`, `export` ...); the stages under the verbs of what they do.
"""

import lazy_loader

__version__ = "0.1.0"
_load, _names, __all__ = lazy_loader.attach_stub(__name__, __file__)
_SHORT = {"assign": "assign_phenotypes", "bundle": "write_bundle", "run": "run_all", "score": "score_slides"}
__all__ = sorted([*__all__, *_SHORT])


def __getattr__(name: str) -> object:
    return _load(_SHORT.get(name, name))


def __dir__() -> list[str]:
    return list(__all__)
