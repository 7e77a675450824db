"""Not a stage: one share of the blocks of a stage, for a job of an array (docs/cluster.md).

    python -m stages.commands.share NUMBER/COUNT STAGE

It makes each COUNT-th block from the NUMBER-th on, without Dask. `dvc repro STAGE` takes what all shares have made, and
makes the rest.
"""

import argparse
import importlib
import sys

from moclip.base.errors import ParamsError
from moclip.cluster.share import Share, SharedOutError
from stages._cluster import sharing
from stages._entry import all_params, command, log, section
from stages._limits import LIMITS, limit_videos
from stages.dvc import graph


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("share", metavar="NUMBER/COUNT", help="such as 3/16")
    parser.add_argument("stage", help="extract_motion, cache_clip, cache_search, or one of cache_frames")
    args = parser.parse_args()
    share, (_, _, script, *words) = Share.of(args.share), graph.words(args.stage)
    stage = importlib.import_module(script)
    if not hasattr(stage, "cluster"):
        raise ParamsError(f"{args.stage} has no blocks to share; run `dvc repro {args.stage}`")
    if LIMITS in all_params():
        limit_videos(section)
    sys.argv[1:] = words
    try:
        with sharing(share):
            stage.main()
    except SharedOutError as end:
        log.info("%s; after all shares, `dvc repro %s` goes on with them", end, args.stage)


if __name__ == "__main__":
    command(main)
