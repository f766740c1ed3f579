"""Packaging: what the project needs is listed once, in requirements.txt."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "image_extractor/version.py").read_text()).group(1)

EXTRAS = {
    "scripts": ["uproot>=5", "matplotlib", "pillow", "jinja2"],
    "dask": ["dask", "distributed"],
    "ctlearn": ["ctlearn"],
}
EXTRAS["docs"] = ["sphinx>=8", "myst-parser>=4", "numpydoc", "pydata-sphinx-theme", *EXTRAS["scripts"]]
EXTRAS["test"] = [
    "pytest",
    "pytest-xdist",
    "hypothesis",
    "ruff",
    "mypy",
    "codespell",
    *EXTRAS["scripts"],
    *EXTRAS["dask"],
]

# what people run; the rest of scripts/ serves the development
TOOLS = [
    "image_extractor.py",
    "make_lookup_tables.py",
    "prepare_cuts_dict.py",
    "read_data.py",
    "visualize_events.py",
    "plot_numtel.py",
]

setup(
    name="image_extractor",
    version=VERSION,
    description="Simulated gamma-ray telescope events (simtel) to ready-to-train image datasets (PyTables HDF5)",
    long_description=(HERE / "README.md").read_text() if (HERE / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    license="MIT",
    packages=find_packages(include=["image_extractor", "image_extractor.*"]),
    package_data={"image_extractor": ["py.typed"], "image_extractor.report": ["page.html.jinja"]},
    python_requires=">=3.11",
    install_requires=(HERE / "requirements.txt").read_text().split(),
    extras_require=EXTRAS,
    scripts=[f"scripts/{tool}" for tool in TOOLS if (HERE / "scripts" / tool).exists()],
)
