"""Installs rethink_tf: `pip install -e .`; extras: [cuda], [ray], [theory], [docs] and [test]."""

import re
from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent
version = re.search(r'__version__ = "(.+)"', (here / "rethink_tf/__init__.py").read_text())[1]

setup(
    name="rethink_tf",
    version=version,
    description="Does a network learn, or does it memorise? Zhang et al. (ICLR 2017), reproduced.",
    long_description=(here / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    entry_points={"console_scripts": ["rethink-tf = rethink_tf.cli.app:entry"]},
    python_requires=">=3.11,<3.14",
    packages=find_packages(include=["rethink_tf", "rethink_tf.*"]),
    package_data={
        "rethink_tf.config": ["paper_numbers/*.csv"],
        "rethink_tf.report": ["measured/*.jsonl", "page/*"],
    },
    install_requires=[
        "tensorflow>=2.20,<2.22",
        "keras>=3.12,<3.16",
        "tensorboard>=2.20,<2.22",
        "tensorflow-datasets>=4.9.9,<4.10",
        # Needed by tensorflow-datasets 4.9, which does not require it.
        "importlib_resources>=6",
        "numpy>=2.0,<3",
        "scipy>=1.14,<2",
        "scikit-learn>=1.5,<2",
        "threadpoolctl>=3,<4",
        "matplotlib>=3.9,<4",
        "pillow>=10",
        "absl-py>=2.1,<3",
    ],
    extras_require={
        "cuda": ["tensorflow[and-cuda]>=2.20,<2.22"],
        "theory": ["scikit-image>=0.24,<1"],  # the Gabor bank
        "ray": ["ray>=2.59,<3"],  # token authentication is on by itself
        "docs": [
            "sphinx>=8,<10",
            "furo>=2024.8",
            "myst-nb>=1.3,<2",
            "sphinx-design>=0.6,<1",
            "ipykernel>=6,<8",
        ],
        "test": [
            "pytest>=8,<10",
            "pytest-xdist>=3.6,<4",
            "hypothesis>=6.100,<7",
            "ruff>=0.9,<1",
        ],
    },
)
