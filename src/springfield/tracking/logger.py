"""What Lightning logs, written to an MLflow run."""

import time
from collections.abc import Mapping
from typing import Any

from mlflow.entities import Metric, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from pytorch_lightning.loggers.logger import Logger
from pytorch_lightning.utilities import rank_zero_only

from springfield.artifacts.text import terminal
from springfield.machine.processes import at_most
from springfield.machine.progress import console

BATCH = 1000
"""Metrics that MLflow takes in one call at most."""
PAUSE = 30
"""Seconds until a store that did not answer is asked again."""


class RunLogger(Logger):
    """Write each step of each metric once, also when a training goes on with a run.

    While the store does not answer, metrics wait; they are written with the next ones.

    Args:
        uri: of the MLflow store.
        run_id: of the run.
    """

    name = "mlflow"

    def __init__(self, uri: str, run_id: str) -> None:
        super().__init__()
        self.uri = uri
        self.run_id = run_id
        self.waiting: list[Metric] = []
        self._tags: list[RunTag] = []
        """Those that wait."""
        self._next_try = 0.0
        self._client = MlflowClient(uri)
        self._written: dict[str, set[int]] = {}
        """Steps that the run is known to have, by metric."""
        self._read: set[str] = set()
        """Metrics whose steps were read since an answer was lost."""

    @property
    def version(self) -> str:
        """The run."""
        return self.run_id

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Tag the run with what training found out; its params it has from the start."""
        self._tags = [RunTag(f"springfield.{key}", str(value)) for key, value in params.items()]
        self.flush()

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Write them, and what waits; not at once after a store did not answer."""
        self.add(metrics, step or 0)
        if time.monotonic() >= self._next_try:
            self.flush()

    def add(self, metrics: Mapping[str, float], step: int) -> None:
        """Have metrics that are not yet written wait for the next `flush`."""
        now = int(time.time() * 1000)
        self.waiting += [
            Metric(key, float(value), now, step)
            for key, value in metrics.items()
            if step not in self._written.get(key, ())
        ]

    def flush(self) -> None:
        """Write what waits and what the run does not have."""
        try:
            with at_most(PAUSE):
                new = self._write()
        except (MlflowException, TimeoutError):
            self._read.clear()  # an answer that was lost may have been a yes
            if not self._next_try:
                console.print(
                    f"MLflow at {terminal(self.uri)} does not answer: training goes on, its curves "
                    "follow when MLflow is back"
                )
            self._next_try = time.monotonic() + PAUSE
            return
        for key, step in new:
            self._written[key].add(step)
        self.waiting.clear()
        self._tags.clear()
        self._next_try = 0.0

    def _write(self) -> list[tuple[str, int]]:
        """Write what waits; the metrics and steps that the run did not have."""
        if self._tags:
            self._client.log_batch(self.run_id, tags=self._tags)
        for key in {metric.key for metric in self.waiting} - self._read:
            history = self._client.get_metric_history(self.run_id, key)
            self._written[key] = {metric.step for metric in history}
            self._read.add(key)
        new = {
            (metric.key, metric.step): metric
            for metric in self.waiting
            if metric.step not in self._written[metric.key]
        }
        metrics = list(new.values())
        for start in range(0, len(metrics), BATCH):
            self._client.log_batch(self.run_id, metrics[start : start + BATCH])
        return list(new)
