"""For tools that know setup.py alone; all is in pyproject.toml."""

from setuptools import setup

setup()
