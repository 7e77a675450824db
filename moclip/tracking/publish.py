"""Show a result in MLflow: its runs, its model, and what a server could not take before."""

import logging
from pathlib import Path

from moclip.predict.bundle import Pipeline
from moclip.tracking.lookup import shown_run
from moclip.tracking.pending import deliver, is_empty, keep
from moclip.tracking.result import Result
from moclip.tracking.store import ServerError, Store

log = logging.getLogger(__name__)


def publish(result: Result, models: Pipeline, store: Store, pending: Path, command: str) -> None:
    """Make sure that MLflow shows a result once, with its model, and no live run of its trainings.

    Args:
        result: What to show.
        models: The trained models.
        store: Where to.
        pending: Keeps the result if a server is down, and holds those that were kept before; they follow.
        command: The process that started the result's trainings, as a tag.

    Raises:
        StoreError: a database file fails, or a value or an artifact of the result cannot be stored.
    """
    if is_empty(pending) and (run := shown_run(result, store)):
        log.info("MLflow: '%s', run %s already there in %s", result.variant, run, store.shown)
        return
    # Late: MLflow takes 3 s to import.
    from moclip.tracking.record import record
    from moclip.tracking.registry import log_model

    try:
        recorded = record(result, store, command)
        log_model(result, recorded.run_id, models, store)
        late = deliver(pending, lambda kept: record(kept, store))
    except ServerError as error:
        if store.is_file:
            raise
        # An experiment that fails in its last stage would lose its results to a server's bad day.
        log.warning("%s; kept in %s until the next `track` that reaches it", error, keep(result, pending))
        return
    done = "made" if recorded.created else "already there"
    log.info("MLflow: '%s', run %s %s in %s", result.variant, recorded.run_id, done, store.shown)
    if late:
        log.info("MLflow: %d results recorded that had waited for the server", late)
