"""The table of which sample is on which side of the split."""

from pathlib import Path

import pandas as pd

from springfield.machine.errors import UserError

SIDES = ("train", "val", "test")
AGAIN = "make it again with 'dvc repro --force --single-item split'"


def read_sides(split: Path, ids: "pd.Series[str]") -> pd.DataFrame:
    """The table `id,split,group` of a split, of samples that are in the index.

    Args:
        split: the file.
        ids: of the index.

    Raises:
        UserError: a line that names a sample twice, one that is not there, or no side.
    """
    sides = pd.read_csv(split, dtype=str, keep_default_na=False)
    if not {"id", "split", "group"} <= set(sides):
        raise UserError(f"{split} lacks one of the columns id,split,group; {AGAIN}")
    # What is tested is on no other side; the debug presets validate on what they train on.
    shared = sides["id"].isin(sides.loc[sides["split"] == "test", "id"]) & (
        sides["split"] != "test"
    )
    for wrong, reason in (
        (sides.duplicated(["id", "split"]) | shared, "is there twice"),
        (~sides["id"].isin(ids), "is not in the index"),
        (~sides["split"].isin(SIDES), f"is on none of the sides {', '.join(SIDES)}"),
    ):
        if wrong.any():
            line = int(wrong.to_numpy().argmax())
            raise UserError(f"{split}, line {line + 2}: '{sides['id'][line]}' {reason}; {AGAIN}")
    return sides
