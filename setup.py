"""Compile the search of label propagation, and put the configs into the wheel; all else is in pyproject.toml."""

import platform
import shutil
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
PACKAGE = "vidcorr.functional.propagation"
VARIANTS = {"avx512": ["-march=x86-64-v4"], "avx2": ["-march=x86-64-v3"]}
LINKS = ("src/vidcorr", *(f"vidcorr/{name}" for name in ("callbacks", "datamodules", "lightning_modules", "cli.py")))
"""Links to the folders at the root, which are parts of the one package."""


def restore_links() -> None:
    """Make the links again that pip unpacks from a zip archive as files of their text."""
    for link in map(ROOT.joinpath, LINKS):
        if link.is_file() and not link.is_symlink() and link.stat().st_size < 100:
            target = link.read_text()
            link.unlink()
            link.symlink_to(target)


class BuildWithConfigs(build_py):
    """Copy `configs/` to `vidcorr/configs/`, where `vidcorr.experiments.config_files` looks first."""

    def run(self) -> None:
        """Build, then copy; an editable install reads the checkout's own folder."""
        super().run()
        if not self.editable_mode:
            shutil.copytree(
                ROOT / "configs",
                Path(self.build_lib) / "vidcorr" / "configs",
                ignore=shutil.ignore_patterns("README.md"),
                dirs_exist_ok=True,
            )


def compiled_search() -> list[Extension]:
    """Return the C++ file once for each kind of processor; without a compiler none is built, and torch searches."""
    flags = VARIANTS if platform.machine().lower() in ("x86_64", "amd64") else {"other": []}
    return [
        Extension(
            f"{PACKAGE}.compiled_{variant}",
            [f"src/{PACKAGE.replace('.', '/')}/screened_search.cpp"],
            extra_compile_args=["-std=c++17", "-O3", *machine],
            optional=True,
        )
        for variant, machine in flags.items()
    ]


restore_links()
setup(cmdclass={"build_py": BuildWithConfigs}, ext_modules=compiled_search())
