"""The streams that a stage hands to heads, read from the files that dvc.yaml names."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from moclip.base.errors import StoreError
from moclip.base.files import read_json
from moclip.data.facts import FactsByVideo, facts_of
from moclip.data.manifest import read_classes, read_manifest
from moclip.data.splits import Split, read_split
from moclip.heads.fitted import Account, ClassTexts, Stream, Videos
from moclip.motion.maps import MovingCentres
from moclip.motion.store import MotionStore
from moclip.results.predictions import Predictions, read_predictions
from moclip.store.blocks import BlockStore
from moclip.store.features import Features, read_features
from moclip.store.frames import SHUFFLED, Chosen, FrameStream, Rows, read_chosen
from stages._layout import cost_file, predicted, split_file


@dataclass(frozen=True)
class Sources:
    """Files and directories of the streams; None where a stage has no such stream.

    Attributes:
        classes: Class names in index order.
        splits: Directory of the splits.
        clip: CLIP's image features.
        texts: CLIP's features of the classes.
        encoder: Facts of CLIP.
        motion: Directory of the motion network's features, by split.
        clip_predictions: Directory of the predictions of CLIP's head, whose logits are a stream.
        motion_predictions: The same of motion's.
        manifest: The videos.
        containers: What their files give away.
        frames, grid, residual: Stores of what CLIP sees of frames.
        motion_frames: Directory of the motion network's tokens of frames, by split.
        moving: Store of the vectors, which say where frames move.
        motion_facts: Directory with the facts of that network, by split.
        chosen_frames: Which of their frames heads see.
        appearance: Directory of the features of another head, by split, and of what it costs.
    """

    classes: Path
    splits: Path
    clip: Path | None = None
    texts: Path | None = None
    encoder: Path | None = None
    motion: Path | None = None
    clip_predictions: Path | None = None
    motion_predictions: Path | None = None
    manifest: Path | None = None
    containers: Path | None = None
    frames: Path | None = None
    grid: Path | None = None
    residual: Path | None = None
    motion_frames: Path | None = None
    moving: Path | None = None
    motion_facts: Path | None = None
    chosen_frames: Path | None = None
    appearance: Path | None = None

    def videos(self, split: int) -> Videos:
        """The videos of a split with all streams that there are.

        Raises:
            StoreError: a file is missing or torn, or predictions are of other classes or labels than the split's.
        """
        listed = read_split(split_file(self.splits, split, ".csv"), self.classes)
        return Videos(listed, dict(self._streams(split, listed)), self._texts)

    def accounts(self, split: int) -> dict[str, Account | None]:
        """What each stream costs, None where nobody knows: a CLIP of which only features were brought."""
        return dict(self._accounts(split))

    def _streams(self, split: int, listed: Split) -> Iterator[tuple[str, Stream]]:
        if self._images is not None:
            yield "clip", self._images
        if self.motion is not None:
            yield "motion", read_features(split_file(self.motion, split, ".npz"))
        if self.appearance is not None:
            yield "appearance", read_features(split_file(self.appearance, split, ".npz"))
        for name, directory in (("clip", self.clip_predictions), ("motion", self.motion_predictions)):
            if directory is not None:
                yield name, _logits(directory, split, listed)
        yield from self._of_frames(split, listed)
        if self.manifest is not None and self.containers is not None:
            from moclip.video.container import read_container_table  # here: it brings the decoder

            facts = facts_of(read_manifest(self.manifest), read_container_table(self.containers))
            yield "container", FactsByVideo(facts)

    def _of_frames(self, split: int, listed: Split) -> Iterator[tuple[str, Stream]]:
        if self._chosen is None:
            return
        shuffled = self._chosen.facts["order"] == SHUFFLED
        held_out = {member.id for member in listed.members if member.part != "train"} if shuffled else ()
        for stream, (store, array) in self._stores(split).items():
            yield stream, FrameStream(store, array, self._chosen, held_out)

    def _stores(self, split: int) -> dict[str, tuple[Rows, str]]:
        """Stores of frames by stream, each with the name of its array."""
        own = {"frames": (self.frames, "global"), "grid": (self.grid, "grid"), "residual": (self.residual, "residual")}
        if self.motion_frames is not None:
            own["motion_frames"] = (split_file(self.motion_frames, split, ""), "motion")
        found: dict[str, tuple[Rows, str]] = {
            stream: (self._opened(path), array) for stream, (path, array) in own.items() if path is not None
        }
        if self.moving is not None and self.frames is not None:
            found["moving"] = MovingCentres(MotionStore.open(self.moving), self._opened(self.frames)), "centres"
        return found

    def _opened(self, path: Path) -> BlockStore:
        store = BlockStore(path)
        if self._chosen is not None and store.made_by["rule"] != self._chosen.facts["rule"]:
            raise StoreError(
                f"{path}: made by frames.rule: {store.made_by['rule']}, and frames were chosen of "
                f"{self._chosen.facts['rule']}; run `dvc repro`"
            )
        return store

    def _accounts(self, split: int) -> Iterator[tuple[str, Account | None]]:
        if self.encoder is not None:
            facts = read_json(self.encoder)
            known = {name: facts[name] for name in ("model", "parameters", "frame_macs")}
            yield "clip", None if known["frame_macs"] is None else Account.of_clip(known)
        if self.motion is not None:
            yield "motion", Account.of_motion(read_json(split_file(self.motion, split, ".json")))
        if self._chosen is not None:
            yield from self._accounts_of_frames(split)
        own = (("clip", self.clip_predictions), ("motion", self.motion_predictions), ("appearance", self.appearance))
        for name, directory in own:
            if directory is not None:
                file = cost_file(directory)
                yield name, Account(**read_json(file)) if file.is_file() else None

    def _accounts_of_frames(self, split: int) -> Iterator[tuple[str, Account | None]]:
        """CLIP on each frame that it has to look at, and the motion network on each that a head sees."""
        assert self._chosen is not None
        if self.encoder is not None:
            facts = read_json(self.encoder)
            known = {name: facts[name] for name in ("model", "parameters", "frame_macs")}
            looked_at = self._chosen.facts["looked_at"]
            own = None if known["frame_macs"] is None else Account.of_clip({**known, "frames": looked_at})
            yield from ((stream, own) for stream in ("frames", "grid", "residual"))
        if self.motion_facts is not None:
            facts = read_json(split_file(self.motion_facts, split, ".json"))
            yield "motion_frames", Account.of_motion({**facts, "inputs": self._chosen.frames})

    @cached_property
    def _chosen(self) -> Chosen | None:
        return None if self.chosen_frames is None else read_chosen(self.chosen_frames)

    @cached_property
    def _images(self) -> Features | None:
        return None if self.clip is None else read_features(self.clip)

    @cached_property
    def _texts(self) -> ClassTexts | None:
        if self.texts is None or self.encoder is None:
            return None
        found, facts = read_features(self.texts), read_json(self.encoder)
        return ClassTexts(found.of(read_classes(self.classes)), facts["logit_scale"]) if len(found.ids) else None


def _logits(directory: Path, split: int, listed: Split) -> Features:
    """Logits (n, k) of a head as a stream: those of the val and test videos."""
    files = predicted(directory, split)
    held_out = [read_predictions(files.val, may_be_empty=True), read_predictions(files.test)]
    for one in held_out:
        _check(f"{directory}, split {split}", one, listed)
    ids = np.concatenate([one.ids for one in held_out])
    return Features(f"logits of {directory}, split {split}", ids, np.concatenate([one.logits for one in held_out]))


def _check(name: str, found: Predictions, listed: Split) -> None:
    if found.classes.tolist() != list(listed.classes):
        raise StoreError(f"{name}: has other classes than the data set; run the stage that predicts again")
    labels = {member.id: member.label for member in listed.members}
    for video, label in zip(found.ids.tolist(), found.labels.tolist(), strict=True):
        if labels.get(video) != label:
            raise StoreError(
                f"{name}: differs from the split in videos or labels, first at {video}; run the stage that predicts "
                "again"
            )


def sources_of(args: Mapping[str, Any]) -> Sources:
    """The sources among the arguments of a stage."""
    return Sources(**{name: value for name, value in args.items() if name in Sources.__dataclass_fields__})
