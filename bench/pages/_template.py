"""What every page that is written here shares: how templates are filled, and how names of code may break."""

import re
from importlib import resources

import jinja2
from markupsafe import Markup

from bench.pages._metrics import number


def environment(package: str) -> jinja2.Environment:
    """For the templates beside the code of `package`. Whatever is filled in is escaped, and must be there."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader(package, "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"number": number, "soft": soft}
    return made


def soft(name: str) -> Markup:
    """A name of code that may break where its parts end."""
    return Markup("<wbr>").join(re.split(r"(?<=[:,=/_])(?=[^:,=/_ ])", name))


def file(package: str, name: str) -> str:
    """A style or script beside the code of `package`."""
    return (resources.files(package) / name).read_text()
