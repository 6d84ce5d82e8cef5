"""Pages from templates, whose values are escaped for HTML."""

from pathlib import Path
from typing import Any

import jinja2

from springfield.files import atomic


def write_page(template: Path, path: Path, **values: Any) -> None:
    """Fill in a template and write it to `path`, whole or not at all."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(template.parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    page = environment.get_template(template.name).render(**values)
    with atomic(path) as partial:
        partial.write_text(page, encoding="utf-8")
