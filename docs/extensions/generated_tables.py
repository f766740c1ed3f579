"""``{settings}`` and ``{columns} NAME``: tables of settings and of columns, made from where the package has them."""

from configobj import ConfigObj
from sphinx.util.docutils import SphinxDirective

from image_extractor.hdf5 import schema
from image_extractor.parameters import columns as parameters
from image_extractor.settings.spec import SPEC

TABLES = {
    "Events": schema.EVENT_COLUMNS,
    "Tel_Table": schema.TEL_COLUMNS,
    "Run_Table": schema.RUN_COLUMNS,
    "Cameras": schema.CAMERA_COLUMNS,
    "Observed": [schema.TIME],
    "Energy_recon": [schema.RECON_LABEL],
    "Parameters": parameters.COLUMNS,
}


class Generated(SphinxDirective):
    """A directive whose content is MyST that the package makes."""

    def parsed(self, lines):
        """Return the nodes of lines of MyST."""
        return self.parse_text_to_nodes("\n".join(lines))


class Settings(Generated):
    """All settings, section by section."""

    def run(self):
        """Return a table for each section."""
        spec = ConfigObj(SPEC.splitlines(), list_values=False, interpolation=False, _inspec=True)
        return self.parsed(section(spec))


class Columns(Generated):
    """The columns of one of TABLES."""

    required_arguments = 1

    def run(self):
        """Return the table."""
        return self.parsed(columns(TABLES[self.arguments[0]]))


def section(found, name=""):
    """Yield the lines of a section of the specification, and of those within it."""
    if found.scalars:
        yield from ["", *([f"**{name}**", ""] if name else [])]
        yield from ["| key | values | default | what it does |", "|---|---|---|---|"]
        for key in found.scalars:
            values, default = values_of(found[key])
            said = found.comments[key] or found.main.initial_comment  # that of the first key stands at the top
            yield f"| {name_of(key)} | {values} | {default} | {comment(said)} |"
        yield ""
    for key in found.sections:
        if key != "__many__":
            said = comment(found.comments[key])
            yield from ["", *([said, ""] if said else [])]
            yield from section(found[key], f"{name} [[{key}]]" if name else f"[{key}]")


def name_of(key):
    """Return how a key is written: any name where it is free."""
    return "*any name*" if key == "__many__" else f"`{key}`"


def comment(lines):
    """Return the comment above a key as one line."""
    return " ".join(line.strip().removeprefix("#").strip() for line in lines).replace("|", "\\|").strip()


def values_of(check):
    """Return what a check of the specification allows, and its default, as MyST."""
    kind, _, inside = check.partition("(")
    inside = inside.rpartition(")")[0]
    inside, _, default = inside.partition("default=")
    parts = [part.strip().strip("'") for part in inside.split(",") if part.strip()]
    options = [part for part in parts if "=" not in part]
    limits = dict(part.split("=") for part in parts if "=" in part)
    words = ", ".join(f"`{option}`" for option in options) or KINDS.get(kind, kind.replace("_", " "))
    if limits:
        words += f", {limits['min']} to {limits['max']}" if "max" in limits else f", at least {limits['min']}"
    default = default.removeprefix("list(").rstrip(")") if default.startswith("list(") else default
    return words, f"`{default.strip(chr(39))}`" if default else "none" if kind else ""


#: What checks ask for, in words.
KINDS = {
    "boolean": "`True`, `False`",
    "integer": "whole number",
    "float": "number",
    "string": "name",
    "auto_or_integer": "`auto`, whole number",
    "auto_or_float": "`auto`, number",
    "cut": "low, high",
    "offset_cut": "two columns, low, high",
    "counts": "such as `LST:2, MST:3`",
    "type_mode": "types, cameras or optics, joined by `+`",
    "tel_ids": "telescope ids",
    "fractions": "two fractions",
    "parameter": "as in ctapipe",
}


def columns(table):
    """Yield the lines of a table of columns."""
    yield from ["| column | type | unit | what it is |", "|---|---|---|---|"]
    for name, kind, unit, text in table:
        yield f"| `{name}` | {kind_of(kind)} | {unit} | {text.replace('|', '/')} |"
    yield ""


def kind_of(kind):
    """Return a NumPy type as text."""
    if isinstance(kind, tuple):
        shape = ", ".join(map(str, kind[1]))
        return f"{kind_of(kind[0])} ({shape})"
    return f"`{kind.strip('<|')}`"


def setup(app):
    """Register the directives."""
    app.add_directive("settings", Settings)
    app.add_directive("columns", Columns)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
