"""Stages one after the other in any folder, without DVC and MLflow: for notebooks and tests."""

import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from springfield.augment import augment
from springfield.compose import Params
from springfield.download import download
from springfield.evaluate import evaluate
from springfield.export import export
from springfield.files import write_json
from springfield.prepare import prepare
from springfield.split import split
from springfield.train import train

if TYPE_CHECKING:
    from pytorch_lightning.loggers import Logger

DATA = ("download", "prepare", "split", "augment")
MODEL = ("train", "evaluate", "export")


def run(
    params: Params,
    folder: Path,
    *stages: str,
    root: Path = Path(),
    mirror: str | None = None,
    loggers: "Sequence[Logger]" = (),
) -> None:
    """Run stages; they write into `folder` what they write into the repository.

    Args:
        params: of an experiment.
        folder: where everything is read and written: `data/raw`, `models/checkpoint`, ...
        stages: names, in the order of the pipeline; default: all.
        root: the repository, which a mirror and local pictures are relative to.
        mirror: a folder or a URL that is asked first for data and weights.
        loggers: Lightning's, for train.

    Raises:
        UserError: what the stages raise.
    """
    data, models, reports = folder / "data", folder / "models", folder / "reports"
    raw, prepared, table, augmented = (
        data / name for name in ("raw", "prepared", "split.csv", "augmented")
    )
    checkpoint, calibration = models / "checkpoint", models / "calibration.json"
    metrics, run_file = reports / "metrics.json", reports / "run.json"
    for stage in stages or (*DATA, *MODEL):
        if stage == "download":
            download(params.data.source, raw, folder / "downloads", mirror, root)
        elif stage == "prepare":
            report, page = reports / "data.json", reports / "data.html"
            prepare(params.prepare, params.data.layout, raw, prepared, report, page)
        elif stage == "split":
            index, report = prepared / "index.csv", reports / "split.json"
            split(params.split, params.seed, index, table, report)
        elif stage == "augment":
            offline, online = params.augment.offline, params.augment.online
            size, picture = params.model.input_size, reports / "augment.png"
            augment(offline, online, size, params.seed, prepared, table, augmented, picture)
        elif stage == "train":
            with tempfile.TemporaryDirectory() as work:
                train(
                    params.model,
                    params.optimizer,
                    params.train,
                    params.augment.online,
                    params.seed,
                    params.hardware,
                    prepared=prepared,
                    split=table,
                    augmented=augmented,
                    checkpoint=checkpoint,
                    report=reports / "train",
                    work=Path(work),
                    weights=folder / "weights",
                    mirror=mirror,
                    root=root,
                    made_from=dict.fromkeys(("data", "params", "code"), ""),
                    loggers=loggers,
                )
        elif stage == "evaluate":
            evaluate(
                params.evaluate,
                params.seed,
                checkpoint=checkpoint,
                prepared=prepared,
                split=table,
                metrics=metrics,
                calibration=calibration,
                report=reports / "evaluate",
            )
        else:
            write_json(run_file, {"run_id": ""})
            export(
                params.export,
                params.seed,
                asdict(params),
                checkpoint=checkpoint,
                prepared=prepared,
                split=table,
                metrics=metrics,
                calibration=calibration,
                run=run_file,
                onnx_file=models / "springfield.onnx",
                int8_file=models / "springfield.int8.onnx",
                description=models / "model.json",
                card=models / "README.md",
                report=reports / "export.json",
            )
