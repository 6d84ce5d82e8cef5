"""A detector that starts from a classifier of the same frames; its row is one of simpsons_boxes.

    SPRINGFIELD_MIRROR=../shared python benchmarks/transfer.py

The classifier learns all frames but those of the detector's val and test and their near-duplicates.
"""

import shutil
import subprocess
from pathlib import Path

import pandas as pd
import scores
import yaml

from springfield.files import sha256
from springfield.sampling.sides import read_sides

CLASSIFIER = [
    "split=grouped",
    "split.val=0.03",
    "split.test=0.02",
    "train.epochs=5",
    "train.sizes=[128,160]",
]
DETECTOR = ["seed=1", "model=fcos_inception_v3_8bit", "model.input_size=192", "optimizer.lr=1e-3"]
PARAMS = Path("params.yaml")
FETCHED = Path(".springfield/weights/simpsons_classifier.safetensors")
"""Where a file of the mirror would lie after its download."""


def run(*command: str) -> None:
    """Run a command; stop if it fails."""
    subprocess.run(command, check=True)


def split(experiment: str, overrides: list[str]) -> pd.DataFrame:
    """The frames of an experiment: `sha256`, `split`, `group`."""
    run("springfield", "compose", f"experiment={experiment}", *overrides)
    run("dvc", "repro", "split")
    index = pd.read_csv("data/prepared/index.csv", dtype=str, keep_default_na=False)
    return index.merge(read_sides(Path("data/split.csv"), index["id"]), on="id")


def main() -> None:
    """Split for the detector, train the classifier, train the detector."""
    frames = split("simpsons_boxes", DETECTOR)
    held_out = frames.loc[frames["split"] != "train", "sha256"]
    frames = split("simpsons_cpu_all", CLASSIFIER)
    groups = frames.loc[frames["sha256"].isin(held_out), "group"]
    near = frames.loc[frames["group"].isin(groups), "sha256"]
    params = yaml.safe_load(PARAMS.read_text())
    reason = "nearly the same as a frame of the detector's val or test"
    params["data"]["exclude"] += [{"sha256": frame, "reason": reason} for frame in near]
    PARAMS.write_text(yaml.safe_dump(params, sort_keys=False))
    run("dvc", "repro", "train")
    FETCHED.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile("models/checkpoint/model.safetensors", FETCHED)
    known = {"path": f"weights/{FETCHED.name}", "sha256": sha256(FETCHED), "bytes": "null"}
    weights = [f"model.weights.{key}={value}" for key, value in known.items()]
    scores.main("simpsons_boxes", [" ".join([*DETECTOR, *weights])])


if __name__ == "__main__":
    main()
