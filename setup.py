"""Put the configs into the wheel, as data of `callbacks`; everything else is in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithConfigs(build_py):
    """Copy `configs/` to `callbacks/configs/`, where `callbacks.command_line.configs` looks first."""

    def run(self) -> None:
        """Build, then copy; an editable install reads the checkout's own folder."""
        super().run()
        if not self.editable_mode:
            shutil.copytree(
                Path(__file__).with_name("configs"),
                Path(self.build_lib) / "callbacks" / "configs",
                ignore=shutil.ignore_patterns("README.md"),
                dirs_exist_ok=True,
            )


setup(cmdclass={"build_py": BuildWithConfigs})
