"""Pictures that training leaves out because their labels are wrong, each with its reason."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import pandas as pd
from pydantic import Field

from springfield.machine.errors import UserError
from springfield.machine.progress import console


@dataclass
class Excluded:
    """A picture that train leaves out; on val and test it stays."""

    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    """Of the picture's file, as the page of mistakes and `index.csv` have it."""
    reason: Annotated[str, Field(pattern=r"\S")]
    """Why."""


def leave_out(
    frames: pd.DataFrame, known: set[str], excluded: Sequence[Excluded]
) -> tuple["pd.Series[str]", dict[str, int]]:
    """The sides of frames without what is excluded from train, and what became of the list.

    Args:
        frames: their `sha256` and `split`.
        known: hashes of all frames of the data, also of classes that are not split.
        excluded: the list.

    Returns:
        the column `split` with NaN in place of some train; and how many frames of the list were
        in `train`, are in `val` and in `test`, and how many entries match none (`unknown`).

    Raises:
        UserError: nothing is left of train.
    """
    hashes, sides = {entry.sha256 for entry in excluded}, frames["split"]
    listed = frames["sha256"].isin(hashes)
    chosen = listed & (sides == "train")
    if chosen.any() and chosen.sum() == (sides == "train").sum():
        raise UserError("data.exclude leaves no frame in train; take entries out of it")
    counts = {side: int((listed & (sides == side)).sum()) for side in ("train", "val", "test")}
    unknown = sorted(hashes - known)
    console.print(
        f"{counts['train']} frames excluded from train: see data.exclude in params.yaml; "
        f"{counts['val']} of val and {counts['test']} of test stay"
    )
    if unknown:
        console.print(
            f"[yellow]data.exclude: {len(unknown)} of {len(hashes)} entries match no frame of the "
            f"data, the first: {unknown[0]}[/]"
        )
    return sides.mask(chosen), counts | {"unknown": len(unknown)}
