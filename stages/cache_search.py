"""Stage of the frame store that search needs: CLIP's feature at a constant rate, so that steps have times."""

from moclip.clip.frames import cache_at_rate, made_at
from moclip.params.frames import SearchParams
from stages._cluster import cluster
from stages._entry import arguments, run, section
from stages._frame_store import Caching


def main() -> None:
    args = arguments("manifest", "model", "out")
    search = section("search", SearchParams)
    caching = Caching.of(args.manifest, args.model, "search needs", "set related: []")
    with cluster() as nodes:
        cache_at_rate(
            caching.encoder,
            caching.videos,
            caching.root,
            caching.shelf("cache_search", made_at(search.every_s)),
            args.out,
            search.every_s,
            batch_images=caching.batch_images,
            provenance=caching.facts,
            cluster=nodes,
        )


if __name__ == "__main__":
    run(main)
