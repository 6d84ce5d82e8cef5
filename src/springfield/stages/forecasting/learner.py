"""How a forecaster learns: its loss, and the scores by which its epochs are compared."""

import torch
from torch import Tensor
from torchmetrics import MeanAbsoluteError, MeanSquaredError, Metric, MetricCollection

from springfield.learning.learner import Learner
from springfield.learning.recipe import OptimizerParams, TrainParams
from springfield.stages.forecasting.network import Forecaster


class ForecastingLearner(Learner):
    """The quantile loss (Koenker and Bassett, 1978), of the whole horizon at once.

    Args:
        model: what to train.
        optimizer: how weights are changed.
        params: how long and on what.
        seed: what each epoch's random numbers start from.
    """

    model: Forecaster

    def __init__(
        self, model: Forecaster, optimizer: OptimizerParams, params: TrainParams, seed: int
    ) -> None:
        metrics: dict[str, Metric | MetricCollection] = {
            "val_rmse": MeanSquaredError(squared=False),
            "val_mae": MeanAbsoluteError(),
        }
        super().__init__(model, optimizer, params, seed, MetricCollection(metrics))

    def means(self, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """Quantile loss, in spreads of the series, and the mean absolute error of the median."""
        known, coming = batch
        quantiles = self.model(known)
        return {
            "loss": self._losses(quantiles, coming).mean(),
            "mae": (self._median(quantiles) - coming).abs().mean(),
        }

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Count a batch, without what only fills it."""
        known, coming = batch
        quantiles = self.model(known).float()
        median, real = self._median(quantiles), ~coming.isnan().any(1)
        losses = self._losses(quantiles, coming).mean((1, 2))
        self.val_loss.update(losses[real])
        self.val_metrics.update(median[real].contiguous(), coming[real].contiguous())
        errors = ((median - coming) / self.model.architecture.spread).square().mean(1)
        self.val_scores.update(-errors)  # NaN: it only fills the batch

    def val_score(self, metrics: dict[str, Tensor]) -> Tensor:
        """Minus the root mean squared error of the median."""
        return -metrics["val_rmse"]

    def _losses(self, quantiles: Tensor, coming: Tensor) -> Tensor:
        """Of each value and quantile (N x horizon x quantiles)."""
        shares = torch.tensor(self.model.architecture.quantiles, device=quantiles.device)
        errors = (coming[..., None] - quantiles) / self.model.architecture.spread
        return torch.maximum(shares * errors, (shares - 1) * errors)

    def _median(self, quantiles: Tensor) -> Tensor:
        return quantiles[..., quantiles.shape[-1] // 2]
