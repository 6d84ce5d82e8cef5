"""The notebooks run from top to bottom, and show what they show to anybody."""

import json
from pathlib import Path

import pytest

from . import drawn
from .conftest import REPOSITORY, Project

NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
WITHOUT_OUTPUTS = "## Photographs"
"""Where the part of a notebook starts that is in the repository without outputs: they would show
CIFAR-10."""

each_notebook = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=[p.stem for p in NOTEBOOKS])


@pytest.mark.slow
@each_notebook
def test_a_notebook_runs_from_top_to_bottom(notebook: Path, project: Project) -> None:
    """On a fifth of the sample, and on drawn digits in the place of MNIST and CIFAR-10."""
    for data in ("mnist", "cifar10"):
        drawn.put(data, project.path / "conf", project.path / "mirror")
    sample = project.path / "conf/data/sample.yaml"
    sample.write_text(sample.read_text().replace("sample: 1.0", "sample: 0.2"))
    project.commit()
    command = ("jupyter", "execute", "--startup_timeout=300", f"notebooks/{notebook.name}")
    project.run(*command, env={"SPRINGFIELD_MIRROR": "mirror"})
    assert project.run("git", "status", "--porcelain").stdout == ""


@each_notebook
def test_a_notebook_has_its_outputs_and_no_path_of_a_machine(notebook: Path) -> None:
    text = notebook.read_text()
    cells = json.loads(text)["cells"]
    ends = [n for n, cell in enumerate(cells) if WITHOUT_OUTPUTS in "".join(cell["source"])]
    pictures = 0
    for n, cell in enumerate(cells):
        if cell["cell_type"] == "code":
            if n > min(ends, default=len(cells)):
                assert not cell["outputs"]
            else:
                assert cell["execution_count"]
                assert all(output["output_type"] != "error" for output in cell["outputs"])
                pictures += sum("image/png" in output.get("data", {}) for output in cell["outputs"])
    assert pictures >= 1
    for place in (str(REPOSITORY), "/tmp/", "/root/", "/home/", "site-packages"):  # noqa: S108
        assert place not in text
