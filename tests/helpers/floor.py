"""Print the packages at their lower bounds in pyproject.toml; fail if one has another version (`make test-floor`)."""

import re
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

from packaging.specifiers import SpecifierSet

PROJECT = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text())["project"]


def lower_bounds() -> dict[str, str]:
    """Return package → lower bound of what an installation with all extras asks for."""
    lines = [*PROJECT["dependencies"]]
    for extra in PROJECT["optional-dependencies"].values():
        lines += extra
    return dict(re.match(r"([\w-]+)[^>]*>=([\w.]+)", line).groups() for line in lines)


if __name__ == "__main__":
    above = []
    for package, bound in lower_bounds().items():
        installed = version(package)
        print(f"{package}=={installed}")
        if installed not in SpecifierSet(f"=={bound}.*"):
            above.append(f"{package} {installed}, bound {bound}")
    sys.exit(f"not at the lower bounds: {', '.join(above)}" if above else 0)
