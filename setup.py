"""Compile the C++ functions, and put the configs into the wheel; all else is in pyproject.toml."""

import hashlib
import platform
import shutil
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
PACKAGE = "vidcorr.functional.native"
VARIANTS = {
    "avx512_vnni": ["-march=x86-64-v4", "-mavx512vnni"],
    "avx512": ["-march=x86-64-v4"],
    "avx2": ["-march=x86-64-v3"],
}
LINKS = ("src/vidcorr", *(f"vidcorr/{name}" for name in ("callbacks", "datamodules", "lightning_modules", "cli.py")))
"""Links to the folders at the root, which are parts of the one package."""


def restore_links() -> None:
    """Replace files that should be links by links: pip unpacks a zip's link as a text file of the link's target."""
    for link in map(ROOT.joinpath, LINKS):
        is_text_of_link = link.is_file() and not link.is_symlink() and link.stat().st_size < 100  # else cli.py itself
        if is_text_of_link:
            target = link.read_text()
            link.unlink()
            link.symlink_to(target)


class BuildWithConfigs(build_py):
    """Copy `configs/` to `vidcorr/configs/`, where `vidcorr.experiments.runs.config_files` looks first."""

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


class BuildLibraries(build_ext):
    """Compile shared libraries that `ctypes` loads: no Python modules, so without a Python version in their names."""

    def get_ext_filename(self, fullname: str) -> str:
        """`vidcorr.functional.native.avx2` → the path of `kernels.avx2.DIGEST.so`; DIGEST is that of the C++ files."""
        *folders, variant = fullname.split(".")
        digest = hashlib.blake2b(digest_size=4)
        sources = ROOT / "vidcorr/functional/native"
        for source in sorted([*sources.glob("*.cpp"), *sources.glob("*.h")]):
            digest.update(source.read_bytes())
        return str(Path(*folders, f"kernels.{variant}.{digest.hexdigest()}.so"))


class WheelOfEveryPython(bdist_wheel):
    """Tag the wheel with its platform alone."""

    def get_tag(self) -> tuple[str, str, str]:
        """Return the tags of Python, of its binary interface and of the platform."""
        return ("py3", "none", super().get_tag()[2])


def compiled_functions() -> list[Extension]:
    """Return an extension of the C++ files for each kind of processor.

    They are optional: without a compiler none is built, and torch computes in their place.
    """
    flags = VARIANTS if platform.machine().lower() in ("x86_64", "amd64") else {"other": []}
    folder = f"src/{PACKAGE.replace('.', '/')}"
    return [
        Extension(
            f"{PACKAGE}.{variant}",
            [f"{folder}/screened_search.cpp"],
            depends=[f"{folder}/vectors.h"],
            extra_compile_args=["-std=c++17", "-O3", *machine],
            optional=True,
        )
        for variant, machine in flags.items()
    ]


restore_links()
COMMANDS = {"build_py": BuildWithConfigs, "build_ext": BuildLibraries, "bdist_wheel": WheelOfEveryPython}
setup(cmdclass=COMMANDS, ext_modules=compiled_functions())
