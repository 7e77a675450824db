"""The best model of a data set: which versions compete, which of them leads, and the alias that says so.

The best result is the one with the highest validation top-1 of its fusion head, averaged over splits; the test part has
no say. In detail:

- Results compete that are of the same videos, classes and splits, by content. Their registered name ends in its digest.
- Of each split the epoch that was kept counts: the best on validation, or the last where `fusion.select` says so.
- A result over more splits beats one over fewer. Of equals the older one stays.
- A result without validation videos, or one whose epochs were chosen on the test part, does not compete.
- A version whose model was deleted, or has lost its files, does not lead.

The alias is found anew among the versions that there are: one that was deleted or lost comes back, and no look-up that
failed moves it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion, RegisteredModel

from moclip.heads.registry import MAIN
from moclip.tracking import tags
from moclip.tracking.failures import pages
from moclip.tracking.models.files import living_model
from moclip.tracking.result import Result
from moclip.tracking.view.notes import NOTE, OURS, note_tags, shortened
from moclip.training.history import Epoch, kept_epoch

_CHOOSERS = (f"{MAIN}.select", "motion_net.select")  # parameters that say on which part epochs are chosen
CARD = "model_card.md"
Rank = tuple[int, float]


@dataclass(frozen=True)
class Standing:
    """Where a model stands: its version where it is registered, and in words whether it is the best and why not."""

    version: str | None
    words: str


@dataclass(frozen=True)
class Entry:
    """A model that may compete: of which result and run, and how it ranks; None where it does not compete."""

    result: Result
    run_id: str
    model_id: str
    splits: Sequence[int]

    @property
    def name(self) -> str:
        """The name that it is registered under."""
        return tags.registered_name(self.result.dataset, self.result.identity)

    @property
    def obstacle(self) -> str | None:
        """Why it does not compete."""
        if chooser := next((name for name in _CHOOSERS if self.result.params.get(name) == "test"), None):
            return f"it does not compete: {chooser} chose its epoch on the test part"
        return None if self.score is not None else "it does not compete: it has no validation videos"

    @property
    def score(self) -> float | None:
        """Its validation top-1 in percent."""
        return validation_score(self.result, self.result.params.get(f"{MAIN}.select", "val"))


def validation_score(result: Result, select: str) -> float | None:
    """Validation top-1 of the fusion head in percent: that of the epoch kept, averaged over splits; None without one.

    >>> from moclip.tracking.result import Child
    >>> curves = {"val_top1_pct": [(0, 50.0), (1, 75.0), (2, 70.0)], "val_loss": [(0, 1.5), (1, 0.9), (2, 1.1)]}
    >>> fusion = Child("fusion", 1, {}, curves)
    >>> result = Result("demo", "k", "base", {}, {}, {}, [fusion])
    >>> validation_score(result, "val"), validation_score(result, "last")
    (75.0, 70.0)
    """
    kept = []
    for child in result.children:
        if child.head == MAIN:
            top1, loss = ([value for _, value in child.curves.get(name, [])] for name in ("val_top1_pct", "val_loss"))
            kept.append(_of_epoch_kept(top1, loss) if select == "val" or not top1 else top1[-1])
    score = sum(kept) / len(kept) if kept else math.nan
    return None if math.isnan(score) else score


def _of_epoch_kept(top1: Sequence[float], loss: Sequence[float]) -> float:
    """Top-1 at the lowest loss, of equals the highest; of curves without a loss, as others may have, the highest."""
    pairs = zip(loss, top1, strict=True) if len(loss) == len(top1) else ()
    history = [Epoch(number, math.nan, {"val_loss": a, "val_top1_pct": b}) for number, (a, b) in enumerate(pairs)]
    kept = kept_epoch(history, "val")
    return max(top1, default=math.nan) if kept is None else top1[kept]


def enter(client: MlflowClient, entry: Entry) -> Standing:
    """Register a model if it is the best of its equals, and see that the alias is with the best that there is."""
    name = entry.name
    registered = _registered(client, name)
    versions = list(pages(client.search_model_versions, f"name = '{name}'")) if registered else []
    equals = [version for version in versions if version.tags.get(tags.IDENTITY, "") == entry.result.identity]
    own = [version for version in equals if version.tags.get(tags.KEY) == entry.result.key]
    mine = next((version for version in own if version.tags.get(tags.MODEL) == entry.model_id), None)
    mine_at = mine and mine.version
    others = [version for version in equals if version.tags.get(tags.KEY) != entry.result.key]
    best, lost = _leader(client, [*others, mine] if mine else others, mine_at)
    rank = None if entry.obstacle or entry.score is None else (len(entry.splits), entry.score)
    if mine is None and rank is not None and (best is None or rank > _rank(best)):
        mine = best = _create_version(client, entry, is_new=registered is None)
    if best is not None and (registered is None or registered.aliases.get(tags.BEST) != str(best.version)):
        client.set_registered_model_alias(name, tags.BEST, best.version)
    if mine is not None and best is not None and mine.version == best.version:
        _describe(client, entry)
    for version in own:  # of this result, and of a model that is there no more
        if mine is None or version.version != mine.version:
            client.delete_model_version(name, version.version)
    return Standing(mine and str(mine.version), "; ".join([_words(entry, mine, best), *lost, *_others(client, entry)]))


def _registered(client: MlflowClient, name: str) -> RegisteredModel | None:
    """By a search, which finds nothing where there is nothing: an error says that it failed, and nothing else."""
    return next(iter(client.search_registered_models(f"name = '{name}'")), None)


def _leader(
    client: MlflowClient, versions: Sequence[ModelVersion], known: str | None
) -> tuple[ModelVersion | None, list[str]]:
    """The best version whose model is there, as that of `known` is, and a word on each better one without its model."""
    lost: list[str] = []
    for version in sorted(versions, key=lambda one: (*_rank(one), -int(one.version)), reverse=True):
        if version.version == known or living_model(client, _model_id(version)) is not None:
            return version, lost
        lost.append(f"the model of version {version.version} was deleted or has lost its files, so it is not the best")
    return None, lost


def _create_version(client: MlflowClient, entry: Entry, *, is_new: bool) -> ModelVersion:
    if is_new:
        _create_name(client, entry.name)
    own = {
        tags.KEY: entry.result.key,
        tags.MODEL: entry.model_id,  # SQLite forgets the id that a version is given
        tags.IDENTITY: entry.result.identity,
        tags.SCORE: repr(entry.score),
        tags.SPLITS: " ".join(map(str, entry.splits)),
    }
    # Not `models:/<id>`, which MLflow looks up in the store of the whole process.
    place = client.get_logged_model(entry.model_id).artifact_location
    return client.create_model_version(
        entry.name,
        place,
        entry.run_id,
        tags=own,
        model_id=entry.model_id,
        description=entry.result.variant,
    )


def _create_name(client: MlflowClient, name: str) -> None:
    try:
        client.create_registered_model(name)
    except Exception as error:  # another clone was faster
        if getattr(error, "error_code", None) != "RESOURCE_ALREADY_EXISTS":
            raise


def _describe(client: MlflowClient, entry: Entry) -> None:
    """Put the model card of the best at its name, as far as there is room, unless somebody wrote another text there."""
    card = next((path for path in entry.result.artifacts if path.name == CARD), None)
    registered = _registered(client, entry.name)
    if card is None or registered is None:
        return
    text = shortened(card.read_text(encoding="utf-8"), CARD, entry.run_id)
    told = note_tags({**registered.tags, NOTE: registered.description or ""}, text)
    if NOTE in told:
        client.update_registered_model(entry.name, description=told[NOTE])
    if OURS in told:
        client.set_registered_model_tag(entry.name, OURS, told[OURS])


def _words(entry: Entry, mine: ModelVersion | None, best: ModelVersion | None) -> str:
    if best is None:
        return entry.obstacle or "no version of its data set has a model"
    leads = mine is not None and mine.version == best.version
    which = f"this model, version {best.version}" if leads else f"version {best.version}"
    best_is = f"models:/{entry.name}@{tags.BEST} is {which} ({_figure(_rank(best))})"
    if leads or entry.score is None or entry.obstacle:
        return "; ".join(filter(None, [entry.obstacle, best_is]))
    return f"this model has {_figure((len(entry.splits), entry.score))}, {best_is}"


def _figure(rank: Rank) -> str:
    return f"{rank[1]:.1f} % on validation, {rank[0]} split{'s' if rank[0] != 1 else ''}"


def _others(client: MlflowClient, entry: Entry) -> list[str]:
    """A word on models of other data under the same name of a data set, which are no equals."""
    family = tags.family(entry.result.dataset)
    names = {model.name for model in pages(client.search_registered_models, f"name LIKE '{family}%'")} - {entry.name}
    others = sorted(name for name in names if name == family or tags.is_completed(name, family))
    if not others:
        return []
    return [f"models of other videos, classes or splits do not compete with it ({', '.join(others[:3])})"]


def _rank(version: ModelVersion) -> Rank:
    own: Mapping[str, Any] = version.tags
    return len(own.get(tags.SPLITS, "").split()), float(own.get(tags.SCORE, "-inf"))


def _model_id(version: ModelVersion) -> str:
    return str(version.tags.get(tags.MODEL) or version.model_id)
