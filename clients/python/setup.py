"""Generates the protobuf messages from proto/ before the package is built."""

import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

sys.path.insert(0, str(Path(__file__).parent))
from generate import generate


class Build(build_py):
    def run(self) -> None:
        generate()
        super().run()


generate()  # before packages are looked for
setup(cmdclass={"build_py": Build})
