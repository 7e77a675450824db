"""`moclip search`: the moments of videos that show what is asked for, in words, as a class, or by example."""

import argparse
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moclip.base.errors import ParamsError, apart
from moclip.base.outside.terminal import message, name, say
from moclip.cli.options import limit, model
from moclip.cli.places import PLACES
from moclip.video.bounded.limits import FILMS

if TYPE_CHECKING:
    import numpy as np

    from moclip.predict.bundle import ModelFiles
    from moclip.search.ask import Moment
    from moclip.search.timeline import Eyes, Shelf, Timeline

log = logging.getLogger(__name__)

MANIFEST = "moments.json"
_SHOWN_STEM = 60  # characters of a video's name in the names of its cuts
_EARLY_S = 0.01  # earlier than this is worth a word


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    from moclip.search.moments import RULES

    parser.add_argument("words", nargs="+", metavar="[WORDS] VIDEO", help="what to find, in one argument, then videos")
    model.add_arguments(parser)
    parser.add_argument("--top", type=model.positive, default=3, help="moments to show (default 3)")
    parser.add_argument("--every", type=float, default=1.0, metavar="S", help="a frame every S seconds (default 1)")
    parser.add_argument(
        "--chunks",
        choices=RULES,
        default="threshold",
        help="how videos are cut; see below (default threshold)",
    )
    parser.add_argument("--chunk", type=float, default=10.0, metavar="S", help="seconds of a chunk (default 10)")
    parser.add_argument("--merge", type=model.positive, default=1, help="best chunks that become one where they touch")
    parser.add_argument("--class", dest="class_name", metavar="CLASS", help="find a class that a trained head knows")
    model.add_head(parser, "the head for --class")
    model.add_engine(parser)
    parser.add_argument("--like", metavar="CLIP[:START-END]", help="find what is like this stretch of a video")
    parser.add_argument("--by", choices=("clip", "motion", "both"), help="in what it is like --like (default both)")
    limit.add_arguments(parser, FILMS)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--cut", type=Path, metavar="DIR", help="write the moments as files, without re-encoding")
    parser.add_argument("--sheet", type=Path, metavar="FILE.png", help="draw the moments and the score over time")
    parser.add_argument("--cache", type=Path, default=PLACES.work / "search", help="what was seen of videos before")
    parser.epilog = (
        "Chunks: threshold (where the score passes Otsu's threshold), query (at the deepest peaks of the score, with "
        "valleys between them), maxima (at its highest distinct maxima), shots (where the picture changes), uniform "
        "(evenly), published (as query, on the softmax over time, as OneClip-RAG's code does: too short). The score is "
        "a cosine for words, a log-probability for --class, a likeness for --like. A video that was seen before is not "
        "decoded again."
    )


@dataclass(frozen=True)
class _Question:
    """What is asked, in words; what each video's curve is, or why there is none."""

    title: str
    unit: str


def run(args: argparse.Namespace) -> int:
    """Search all videos; one that fails is reported, the others are searched, and the status is 1."""
    from moclip.base.outputs import claim_directory, claim_file
    from moclip.predict.bundle import open_model
    from moclip.search.ask import Cutting, best_of, moments
    from moclip.search.timeline import Shelf
    from moclip.video.rate import check_every

    limit.apply(args)
    words, videos = _words_and_videos(args)
    check_every(args.every)
    cutting = Cutting(args.chunks, args.chunk, args.merge)
    if args.cut:
        claim_directory(args.cut, MANIFEST, videos)
    if args.sheet:
        claim_file(args.sheet, "png", videos)
    files = open_model(model.source_of(args.model), args.split)
    asked = _Search(args, words, files, Shelf(args.cache))
    failures: list[str] = []
    seen = asked.look(videos, failures)
    curves = asked.curves(seen, failures)
    found = best_of({video: moments(video, seen[video], curve, cutting) for video, curve in curves.items()}, args.top)
    written = _cut(args.cut, asked.question.title, seen, found) if args.cut and found else {}
    if args.sheet and found:
        from moclip.search.sheet import save_sheet

        save_sheet(args.sheet, asked.question.title, {video: (seen[video], curves[video]) for video in curves}, found)
    if args.json:
        say(json.dumps(_as_json(asked.question, found, written, failures), indent=2))
    elif found:
        say(_text(asked.question, found, written))
    for failure in failures:
        say(message(f"error: {failure}"), file=sys.stderr)
    if failures and len(videos) > 1:
        say(f"error: {len(failures)} of {len(videos)} videos were not searched", file=sys.stderr)
    return 1 if failures else 0


def _words_and_videos(args: argparse.Namespace) -> tuple[str | None, list[Path]]:
    """Words, unless a class or an example is asked for, and videos, each once.

    Raises:
        ParamsError: options do not go together, or there is no video.
    """
    if args.class_name is not None and args.like is not None:
        raise ParamsError("--class and --like: two questions; ask one of them")
    if args.head is not None and args.class_name is None:
        raise ParamsError("--head: is the head that --class asks; name a class too")
    if args.by is not None and args.like is None:
        raise ParamsError("--by: says in what a stretch is like --like; name an example too")
    words, rest = args.words[0], args.words[1:]
    if args.class_name is not None or args.like is not None:
        if Path(words).exists() or not rest:
            words, rest = None, args.words
        else:
            other = "--class" if args.like is None else "--like"
            log.warning('%s is what is asked: the words "%s" are not', other, words)
    if not rest:
        raise ParamsError(f'no video to search: name one behind the words, as in `moclip search "{words}" VIDEO`')
    return words, [Path(name) for name in dict.fromkeys(rest)]


class _Search:
    """A question with the model that answers it."""

    def __init__(self, args: argparse.Namespace, words: str | None, files: "ModelFiles", shelf: "Shelf") -> None:
        from moclip.heads.registry import CLIP, MAIN, MOTION
        from moclip.predict.engine import loader_of
        from moclip.search import ask

        self.every, self.shelf = args.every, shelf
        loader = loader_of(args.engine)
        self.by: ask.By | None = (args.by or "both") if args.like is not None else None
        self.head = self.label = self.text = self.example = None
        if args.class_name is not None:
            name = args.head or MAIN
            self.label, self.head = ask.label_of(files, args.class_name), ask.head_of(files, loader, name)
            self.question = _Question(f"{args.class_name} by {name}", "log-probability")
        elif args.like is not None:
            place, span = ask.parse_example(args.like)
            self.question = _Question(f"like {args.like} by {self.by}", "likeness")
        else:
            self.question = _Question(str(words), "cosine")
        needs_clip = CLIP in self.head.streams if self.head else self.by != "motion"
        needs_motion = MOTION in self.head.streams if self.head else self.by in ("motion", "both")
        self.eyes: Eyes = ask.eyes_of(files, loader, needs_clip=needs_clip, needs_motion=needs_motion)
        if args.like is not None:
            self.example = ask.example_of(place, self._seen(place), *span)
        elif self.head is None and self.eyes.encoder is not None:
            self.text = ask.text_feature(self.eyes.encoder, str(words))

    def look(self, videos: Sequence[Path], failures: list[str]) -> dict[Path, "Timeline"]:
        """Timelines of the videos that can be read."""
        from moclip.base.progress import Progress

        found = {}
        with Progress(videos, desc="search", unit="video", disable=len(videos) == 1) as bar:
            for video in bar:
                with apart(video, failures):
                    found[video] = self._seen(video)
        return found

    def _seen(self, video: Path) -> "Timeline":
        return self.shelf.timeline(video, self.every, self.eyes)

    def curves(self, seen: Mapping[Path, "Timeline"], failures: list[str]) -> dict[Path, "np.ndarray"]:
        """Curves of the videos that can answer."""
        from moclip.search import ask

        if self.example is not None:
            return self._like(seen, failures)
        found = {}
        for video, timeline in seen.items():
            with apart(video, failures):
                if self.head is not None and self.label is not None:
                    found[video] = ask.class_curve(video, timeline, self.head, self.label)
                else:
                    assert self.text is not None, "a question in words has a feature"
                    found[video] = ask.text_curve(timeline, self.text)
        return found

    def _like(self, seen: Mapping[Path, "Timeline"], failures: list[str]) -> dict[Path, "np.ndarray"]:
        """Likeness to the example, which is not found again in its own video."""
        from moclip.search import ask

        assert self.example is not None
        assert self.by is not None
        ask.described(self.example.video, self.example.seen, "motion" if self.by != "clip" else "clip")
        able = {}
        for video, timeline in seen.items():
            with apart(video, failures):
                ask.described(video, timeline, "motion" if self.by != "clip" else "clip")
                able[video] = timeline
        curves = ask.like_curves(able, self.example, self.by) if able else {}
        own = self.shelf.digest(self.example.video)
        for video, curve in curves.items():
            if self.shelf.digest(video) == own:
                steps, half = self.example.steps, len(self.example.steps) // 2  # windows that hold half of it
                curve[max(0, int(steps[0]) - half) : int(steps[-1]) + half + 1] = curve.min()
        return curves


@dataclass(frozen=True)
class _Written:
    """What became of a moment's file: its name and where it begins, or why there is none."""

    file: str | None
    start_s: float
    why_not: str = ""

    def facts(self) -> dict[str, Any]:
        """For JSON."""
        return {"file": self.file, "begins_s": round(self.start_s, 3)} if self.file else {"not_cut": self.why_not}

    def words(self, moment: "Moment") -> str:
        """For a table."""
        if self.file is None:
            return "not cut, see above"
        early = moment.start_s - self.start_s
        return self.file + (f" (begins {early:.2f} s earlier, at a key frame)" if early >= _EARLY_S else "")


def _cut(folder: Path, title: str, seen: Mapping[Path, "Timeline"], found: Sequence["Moment"]) -> dict[int, _Written]:
    """Write moments as files; by rank what was written, or why nothing could be."""
    from moclip.base.outputs import write_manifest, writing_directory

    said: dict[int, _Written] = {}
    with writing_directory(folder, MANIFEST, [moment.video for moment in found]) as temporary:
        for rank, moment in enumerate(found, start=1):
            said[rank] = _cut_one(temporary, rank, moment, seen[moment.video])
        facts = {"question": title, "moments": [_facts(rank, one, said) for rank, one in enumerate(found, start=1)]}
        write_manifest(temporary, MANIFEST, facts)
    return said


def _cut_one(folder: Path, rank: int, moment: "Moment", seen: "Timeline") -> _Written:
    from moclip.base.errors import VideoError
    from moclip.video.bounded.worker import call
    from moclip.video.cut import cut, ending_of, remedy

    span = (moment.start_s, moment.end_s)
    name = f"{rank:02d}_{moment.video.stem[:_SHOWN_STEM]}_{moment.start_s:.2f}-{moment.end_s:.2f}"
    try:
        if not seen.is_steady:
            raise VideoError(f"{moment.video}: cannot be cut without re-encoding (its time stamps run backwards)")
        out = folder / f"{name}{call(moment.video, ending_of, moment.video)}"
        made = call(moment.video, cut, moment.video, span, out, seen.start_s)
    except VideoError as error:
        why = f"{error}; `{remedy(moment.video, span, f'{name}.mp4')}` does it by re-encoding"
        log.warning("moment %d: %s", rank, why)
        return _Written(None, moment.start_s, why)
    return _Written(out.name, made.start_s)


def _facts(rank: int, moment: "Moment", written: Mapping[int, _Written]) -> dict[str, Any]:
    cut = {"cut": written[rank].facts()} if rank in written else {}
    return {
        "rank": rank,
        "video": str(moment.video),
        "start_s": round(moment.start_s, 3),
        "end_s": round(moment.end_s, 3),
        "score": round(moment.score, 6),
        "motion_px": None if moment.motion_px is None else round(moment.motion_px, 4),
        **cut,
    }


def _as_json(
    question: _Question, found: Sequence["Moment"], written: Mapping[int, _Written], failures: Sequence[str]
) -> dict[str, Any]:
    return {
        "question": question.title,
        "score": question.unit,
        "moments": [_facts(rank, moment, written) for rank, moment in enumerate(found, start=1)],
        "failures": list(failures),
    }


def _text(question: _Question, found: Sequence["Moment"], written: Mapping[int, _Written]) -> str:
    from moclip.base.markdown import NO_VALUE, aligned
    from moclip.search.sheet import clock

    header = ["rank", "video", "start-end", question.unit, "motion in px", *(["cut"] if written else [])]
    rows = [
        [
            str(rank),
            name(one.video),
            f"{clock(one.start_s)}-{clock(one.end_s)}",
            f"{one.score:.4f}",
            NO_VALUE if one.motion_px is None else f"{one.motion_px:.2f}",
            *([written[rank].words(one)] if rank in written else []),
        ]
        for rank, one in enumerate(found, start=1)
    ]
    return aligned([header, *rows], right=(0, 3, 4))
