"""Packaging: its settings are in setup.cfg; here is how the configurations get into the package."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithConfigurations(build_py):
    """Puts ``configs/`` of the top of the repository into what is built, as ``lgae_pyg/configs``.

    An editable install takes none along: ``lgae_pyg.config`` finds those of the clone, and edits count at once.
    """

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            for target, source in self.configurations().items():
                self.mkpath(str(Path(target).parent))
                self.copy_file(source, target)

    def configurations(self) -> dict[str, str]:
        """Every configuration by the place where it is built."""
        place = Path(self.build_lib, "lgae_pyg")
        return {str(place / path): str(path) for path in sorted(Path("configs").rglob("*.yaml"))}

    def get_source_files(self) -> list[str]:
        return [*super().get_source_files(), *self.configurations().values()]

    def get_output_mapping(self) -> dict[str, str]:
        return {**super().get_output_mapping(), **self.configurations()}


setup(cmdclass={"build_py": BuildWithConfigurations})
