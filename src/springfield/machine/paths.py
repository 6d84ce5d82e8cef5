"""Where each file of the pipeline is."""

from dataclasses import dataclass, fields
from pathlib import Path


@dataclass(frozen=True)
class Paths:
    """Every path of the pipeline, once; what a stage reads and writes, it takes from here."""

    raw: Path = Path("data/raw")
    images: Path = Path("data/prepared/images.arrow")
    series: Path = Path("data/prepared/series.arrow")
    index: Path = Path("data/prepared/index.csv")
    data_page: Path = Path("reports/data.html")
    data_report: Path = Path("reports/data.json")
    split: Path = Path("data/split.csv")
    split_report: Path = Path("reports/split.json")
    augmented: Path = Path("data/augmented")
    augment_picture: Path = Path("reports/augment.png")
    checkpoint: Path = Path("models/checkpoint")
    training: Path = Path("reports/train")
    run: Path = Path("reports/run.json")
    metrics: Path = Path("reports/metrics.json")
    calibration: Path = Path("models/calibration.json")
    evaluation: Path = Path("reports/evaluate")
    onnx: Path = Path("models/springfield.onnx")
    int8: Path = Path("models/springfield.int8.onnx")
    description: Path = Path("models/model.json")
    static: Path = Path("models/static")
    card: Path = Path("models/README.md")
    export_report: Path = Path("reports/export.json")

    @classmethod
    def within(cls, folder: Path) -> "Paths":
        """The same in another folder than the current one."""
        return cls(**{field.name: folder / str(field.default) for field in fields(cls)})
