"""What Lightning logs, written to an MLflow run."""

import time
from collections.abc import Mapping
from typing import Any

from mlflow.entities import Metric
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from pytorch_lightning.loggers.logger import Logger
from pytorch_lightning.utilities import rank_zero_only

from springfield.progress import console


class RunLogger(Logger):
    """Write each step of each metric once, also when a training goes on with a run.

    While the store does not answer, metrics wait; they are written with the next ones.

    Args:
        uri: of the MLflow store.
        run_id: of the run.
    """

    def __init__(self, uri: str, run_id: str) -> None:
        super().__init__()
        self.uri = uri
        self.run_id = run_id
        self.waiting: list[Metric] = []
        self._client = MlflowClient(uri)
        self._written: dict[str, set[int]] = {}

    @property
    def name(self) -> str:
        """What Lightning calls it."""
        return "mlflow"

    @property
    def version(self) -> str:
        """The run."""
        return self.run_id

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing: the run has its params from the start."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Write them, and what waits."""
        now = int(time.time() * 1000)
        told = bool(self.waiting)
        self.waiting += [
            Metric(key, float(value), now, step or 0) for key, value in metrics.items()
        ]
        try:
            for key in {metric.key for metric in self.waiting} - self._written.keys():
                history = self._client.get_metric_history(self.run_id, key)
                self._written[key] = {metric.step for metric in history}
            new = [m for m in self.waiting if m.step not in self._written[m.key]]
            if new:
                self._client.log_batch(self.run_id, new)
        except MlflowException:
            if not told:
                console.print(
                    f"MLflow at {self.uri} does not answer: training goes on, its curves follow "
                    "when MLflow is back"
                )
            return
        for metric in new:
            self._written[metric.key].add(metric.step)
        self.waiting.clear()
