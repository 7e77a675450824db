"""Stage `fingerprint`: what arithmetic gives here, and the libraries behind it; one file wherever results are equal."""

from importlib.metadata import version

from moclip.base.files import write_json
from moclip.report.fingerprint import fingerprint
from stages._entry import arguments, run

VERSIONS = ("av", "numpy", "open_clip_torch", "pillow", "scikit-learn", "scipy", "torch", "torchvision")


def main() -> None:
    args = arguments("out")
    write_json(args.out, {"digests": fingerprint(), "versions": {name: version(name) for name in VERSIONS}})


if __name__ == "__main__":
    run(main)
