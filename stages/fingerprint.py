"""Stage `fingerprint`: what arithmetic gives here, and the libraries behind it; one file wherever results are equal."""

from moclip.base.files import write_json
from moclip.report.fingerprint import fingerprint
from moclip.tracking.provenance import package_versions
from stages._entry import arguments, run

VERSIONS = ("av", "numpy", "open_clip_torch", "pillow", "scikit-learn", "scipy", "torch", "torchvision")


def main() -> None:
    args = arguments("out")
    write_json(args.out, {"digests": fingerprint(), "versions": package_versions(VERSIONS)})


if __name__ == "__main__":
    run(main)
