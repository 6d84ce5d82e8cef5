"""The templates of this folder."""

import jinja2

ENVIRONMENT = jinja2.Environment(
    loader=jinja2.PackageLoader(__package__, ""),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
)


def html(name: str) -> jinja2.Template:
    """A template whose values are escaped for HTML."""
    return ENVIRONMENT.get_template(name)
