"""What a search found: a table, an experiment, and plots in its run."""

import tempfile
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import matplotlib as mpl
import mlflow
import numpy as np
import optuna
from optuna.trial import TrialState
from optuna.visualization import matplotlib as plots
from rich.console import Console
from rich.table import Table

from springfield.artifacts.text import terminal
from springfield.cli.plan import overrides, write_experiment
from springfield.cli.stages import journal
from springfield.cli.trial import Trials, number_of, over, shown
from springfield.cli.workspace import PARAMS, ROOT, WORKSPACE
from springfield.config import Params, compose
from springfield.tracking.run import log_files, open_run, store, usable

mpl.use("agg")


def score(trial: optuna.trial.FrozenTrial) -> str:
    """The val score of a trial, and why it ended."""
    if trial.state == TrialState.COMPLETE:
        return f"{trial.value:.4f}"
    why = "diverged" if "diverged" in trial.user_attrs else "pruned"
    if epochs := len(trial.intermediate_values):
        return f"{trial.value:.4f}, {why} after {epochs} epochs"
    return why


def write(target: Path, command: str, trials: Trials) -> None:
    """Write the experiment of the best trial."""
    plan, best = trials.plan, trials.study.best_trial
    head = (
        f"{plan.experiment} with the params of the best of {plan.trials} trials of one seed.\n"
        f"Reaches a val score of {best.value:.4f}, {len(best.intermediate_values)} epochs of "
        f"{best.user_attrs['seconds']:.1f} s:\n{command}"
    )
    with tempfile.TemporaryDirectory() as folder:
        params = Path(folder) / PARAMS
        compose(WORKSPACE, params, [*plan.start, *overrides(best.params)])
        write_experiment(target, plan, best.params, params, head)


def tell(study: optuna.Study) -> None:
    """A table of the trials: the best, and at the end those that were pruned."""
    table = Table("trial", "val score", "params")
    for trial in sorted(over(study), key=lambda t: (t.state, -(t.value or 0))):
        table.add_row(str(number_of(trial)), score(trial), terminal(" ".join(shown(trial.params))))
    Console().print(table)


def log(trials: Trials, base: Params, target: Path) -> None:
    """The best score, the experiment, a table and Optuna's plots, in the run of the search."""
    study, uri = trials.study, store(ROOT)
    with open_run(ROOT, journal(base), trials.parent, {}, {}), usable(uri):
        mlflow.log_metric("val_score", study.best_value)
        log_files(target)
        mlflow.log_text(study.trials_dataframe().to_csv(index=False), "search/trials.csv")
        warnings.simplefilter("ignore")  # what plots say of few trials
        for plot in (
            plots.plot_optimization_history,
            plots.plot_intermediate_values,
            plots.plot_slice,
            plots.plot_param_importances,
        ):
            with suppress(RuntimeError, ValueError):  # importances need scores that differ
                axes: Any = plot(study)
                mlflow.log_figure(
                    np.ravel(axes)[0].figure, f"search/{plot.__name__.removeprefix('plot_')}.png"
                )
