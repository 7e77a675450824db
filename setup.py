"""Put into a wheel what `moclip init` writes: pyproject.toml, section `tool.moclip`, says what that is."""

import shutil
import tomllib
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent


class WithProject(build_py):
    """Builds the package, and beside its modules the files of a project."""

    def run(self) -> None:
        """Build; an editable install reads the project where it lies."""
        super().run()
        if self.editable_mode:
            return
        made = Path(self.build_lib) / "moclip" / "project"
        shutil.rmtree(made, ignore_errors=True)
        for name in tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["moclip"]["project"]:
            source, target = ROOT / name, made / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copyfile(source, target)


setup(cmdclass={"build_py": WithProject})
