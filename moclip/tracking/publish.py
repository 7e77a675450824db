"""Show a result in MLflow: its runs, its model, and what a server could not take before; each step by itself."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from moclip.base.errors import StoreError
from moclip.predict.bundle import Pipeline
from moclip.tracking.lookup import shown_run
from moclip.tracking.pending import Kept, deliver, elsewhere, is_empty, keep
from moclip.tracking.result import Result
from moclip.tracking.store import ServerError, Store

log = logging.getLogger(__name__)

Show = Callable[[Result, Path | Pipeline, str | None], None]


def publish(result: Result, models: Pipeline, store: Store, pending: Path, command: str) -> None:
    """Make sure that MLflow shows a result once, with its model, and no live run of its trainings.

    Args:
        result: What to show.
        models: The trained models.
        store: Where to.
        pending: Keeps the result and its model if a server is down, and holds those that were kept before; they follow.
        command: The process that started the result's trainings, as a tag.

    Raises:
        StoreError: a database file fails, or a value or an artifact of the result cannot be stored.
    """
    for address, count in elsewhere(pending, store).items():
        log.warning(
            "MLflow: %d results wait for %s; set MLFLOW_TRACKING_URI to it and run `dvc repro track`", count, address
        )
    if is_empty(pending, store) and (run := shown_run(result, store)):
        log.info("MLflow: '%s', run %s already there in %s", result.variant, run, store.shown)
        return
    try:
        show(result, models, store, command)
    except ServerError as error:
        if store.is_file:
            raise
        # An experiment that fails in its last stage would lose its results to a server's bad day.
        kept = keep(result, models, pending, store)
        log.warning("%s; what it lacks is kept in %s until the next `track` that reaches it", error, kept)
    else:
        _drop(result, pending, store)
    finally:
        _deliver(pending, store, but=result.key)


def show(result: Result, models: Pipeline | Path, store: Store, command: str | None = None) -> None:
    """Record a result and log its model, the same way whether it comes at once or late.

    Raises:
        StoreError: as `moclip.tracking.record.record` and `moclip.tracking.registry.log_model`.
    """
    # Late: MLflow takes 3 s to import.
    from moclip.tracking.record import record
    from moclip.tracking.registry import log_model

    recorded = record(result, store, command)
    done = "made" if recorded.created else "already there"
    result = replace(result, variant=recorded.variant)
    log.info("MLflow: '%s', run %s %s in %s", result.variant, recorded.run_id, done, store.shown)
    if logged := log_model(result, recorded.run_id, models, store):
        log.info("MLflow: model %s; %s", "made" if logged.created else "already there", logged.words)


def _drop(result: Result, pending: Path, store: Store) -> None:
    """Forget what waited of a result that is shown now."""
    deliver(pending, store, lambda kept: kept.result.key == result.key)


def _deliver(pending: Path, store: Store, but: str) -> None:
    """Show what waits for this store; one that fails stays, and stops the others only where nothing answers at all."""
    is_down = False

    def take(kept: Kept) -> bool:
        nonlocal is_down
        if is_down or kept.result.key == but:
            return False
        try:
            show(kept.result, kept.model, store)
        except StoreError as error:
            log.warning("MLflow: '%s' goes on waiting in %s: %s", kept.result.variant, kept.place, error)
            is_down = not _answers(store)
            return False
        return True

    if not is_empty(pending, store):
        is_down = not _answers(store)
        if count := deliver(pending, store, take):
            log.info("MLflow: %d results recorded that had waited for the server", count)


def _answers(store: Store) -> bool:
    from moclip.tracking.client import answers

    return answers(store)
