"""A reproducibility harness for CLIP plus compressed-domain motion vectors in video recognition."""

from moclip.extras import name_extras

__version__: str

name_extras()


def __getattr__(name: str) -> str:
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import version  # 30 ms that few ask for

    return version("moclip")
