"""The notebooks run from top to bottom, and show what they show to anybody."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from springfield.config import by_key, compose

from . import drawn
from .conftest import REPOSITORY, Project

ENGLISH = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
RUSSIAN = sorted((REPOSITORY / "notebooks/ru").glob("*.ipynb"))
WITHOUT_OUTPUTS = ("## Photographs", "## Фотографии")
"""Where the part of a notebook starts that is in the repository without outputs: they would show
CIFAR-10."""

LARGEST = 1_000_000
"""Bytes of a file in Git."""
PARTS = {
    "notebooks": ("Introduction", "Theory", "Program", "Conclusions", "Variants", "The report"),
    "ru": ("Введение", "Теория", "Программа", "Выводы", "Варианты", "Отчёт"),
}


def named(*notebooks: Path) -> pytest.MarkDecorator:
    ids = [str(path.relative_to(REPOSITORY / "notebooks")) for path in notebooks]
    return pytest.mark.parametrize("notebook", notebooks, ids=ids)


def cells(notebook: Path, kind: str) -> list[str]:
    """The sources of the cells of a kind."""
    found: list[dict[str, Any]] = json.loads(notebook.read_text())["cells"]
    return ["".join(cell["source"]) for cell in found if cell["cell_type"] == kind]


@pytest.mark.slow
@named(*ENGLISH, REPOSITORY / "notebooks/ru/1_data.ipynb")
def test_a_notebook_runs_from_top_to_bottom(notebook: Path, project: Project) -> None:
    """On a fifth of the sample, and on drawn digits in the place of MNIST and CIFAR-10."""
    for data in ("mnist", "cifar10"):
        drawn.put(data, project.path / "conf", project.path / "mirror")
    for data in ("sample", "sample_boxes"):
        path = project.path / f"conf/data/{data}.yaml"
        path.write_text(path.read_text().replace(f"{data}: 1.0", f"{data}: 0.2"))
    project.commit()
    command = ("jupyter", "execute", "--startup_timeout=300", str(notebook.relative_to(REPOSITORY)))
    project.run(*command, env={"SPRINGFIELD_MIRROR": "mirror"})
    assert project.run("git", "status", "--porcelain").stdout == ""


@named(*ENGLISH, *RUSSIAN)
def test_a_notebook_has_its_outputs_and_no_path_of_a_machine(notebook: Path) -> None:
    text = notebook.read_text()
    assert len(text) < LARGEST
    found = json.loads(text)["cells"]
    ends = [
        n
        for n, cell in enumerate(found)
        if any(title in "".join(cell["source"]) for title in WITHOUT_OUTPUTS)
    ]
    pictures = 0
    for n, cell in enumerate(found):
        if cell["cell_type"] == "code":
            if n > min(ends, default=len(found)):
                assert not cell["outputs"]
            else:
                assert cell["execution_count"]
                assert all(output["output_type"] != "error" for output in cell["outputs"])
                kinds = [kind for output in cell["outputs"] for kind in output.get("data", {})]
                pictures += sum(kind.startswith("image/") for kind in kinds)
    assert pictures >= 1
    for place in (str(REPOSITORY), "/tmp/", "/root/", "/home/", "site-packages"):  # noqa: S108
        assert place not in text


@named(*ENGLISH, *RUSSIAN)
def test_a_notebook_has_the_parts_of_a_lab(notebook: Path) -> None:
    text = "\n".join(cells(notebook, "markdown"))
    titles = re.findall("^## (.*)", text, re.MULTILINE)
    parts = PARTS[notebook.parent.name]
    assert [title for title in titles if title in parts] == list(parts)
    variants = text[text.index(f"## {parts[-2]}") : text.index(f"## {parts[-1]}")]
    assert len(re.findall(r"^\| \d+ \|", variants, re.MULTILINE)) >= 8


@named(*ENGLISH)
def test_the_russian_notebook_has_the_same_code(notebook: Path) -> None:
    russian = notebook.parent / "ru" / notebook.name
    assert cells(russian, "code") == cells(notebook, "code")
    texts = list(zip(cells(russian, "markdown"), cells(notebook, "markdown"), strict=True))
    for own, other in texts:
        assert re.search(r"[\u0430-\u044f]{3}", own), own
        for mark in (r"^#+ ", r"^\| \d", r"^\d\. ", r"^- ", r"^\$ "):  # titles, rows, items
            count, expected = (len(re.findall(mark, text, re.MULTILINE)) for text in (own, other))
            assert count == expected, own


def test_the_table_of_a_course_points_to_what_there_is(tmp_path: Path) -> None:
    compose(REPOSITORY, tmp_path / "params.yaml", ["experiment=mnist"])
    params = by_key(tmp_path / "params.yaml")
    stages = (REPOSITORY / "dvc.yaml").read_text()
    text = (REPOSITORY / "docs/classroom.md").read_text()
    table = text[text.index("## What a course teaches") :]
    rows = re.findall(r"^\| ([^|]+) \|(.*)\|$", table, re.MULTILINE)[2:]
    assert len(rows) > 30
    titles = {
        p.stem[0]: " ".join(re.findall("^##+ (.*)", "\n".join(cells(p, "markdown")), re.M))
        for p in ENGLISH
    }
    for subject, place in rows:
        assert place.strip() or subject.startswith("**"), subject
        for number, quoted in re.findall(r'notebook (\d)((?:, "[^"]+")*)', place):
            for title in re.findall('"([^"]+)"', quoted):
                assert title in titles[number], (subject, title)
        for path in re.findall(r"`((?:conf|web)/[\w./]*)`|\]\((\w+\.md)\)", place):
            assert (REPOSITORY / (path[0] or f"docs/{path[1]}")).exists(), (subject, path)
        assert not re.search(r"`\w+\.yaml`", place), "in which folder?"
        for name in re.findall(r"`experiment=(\w+)`", place):
            assert (REPOSITORY / f"conf/experiment/{name}.yaml").exists(), (subject, name)
        for key in re.findall(r"`((?:model|optimizer|train|split|hardware)\.[\w.]+)", place):
            assert key in params, (subject, key)
        for title in re.findall('"([^"]+)" above', place):
            assert re.search(f"^##+ {title}$", text, re.MULTILINE), (subject, title)
        for path in re.findall(r"`(reports/[\w./]+)`", place):
            assert path in stages, (subject, path)
        for target in re.findall(r"`make (\w+)`", place):
            assert f"\n{target}: " in (REPOSITORY / "Makefile").read_text(), (subject, target)
