"""Data sets of Kaggle."""

from pathlib import Path

from springfield.machine.errors import UserError
from springfield.sources.folder import pack


def fetch_kaggle(handle: str, archive: Path) -> None:
    """Download a pinned version of a Kaggle data set (`owner/name/versions/N`) and pack it.

    kagglehub extracts what it downloads and keeps no archive, so the folder is packed again.

    Raises:
        UserError: Kaggle cannot be reached, or does not have it.
    """
    import kagglehub

    try:
        folder = kagglehub.dataset_download(handle)
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"cannot download {handle} from Kaggle: {reason}; connect to the network, or take a "
            "data set that a mirror has (make repro EXPERIMENT=simpsons_cpu)"
        ) from error
    pack(Path(folder), archive)
