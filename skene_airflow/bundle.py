"""A folder of loops as an Airflow DAG bundle: each YAML file is a DAG file of its own, with its own import error.

Airflow reads Python files only, so the bundle keeps one small Python file for each loop file, rewritten whenever
that loop file, or a shared file that it names, is edited.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

from airflow.dag_processing.bundles.base import BaseDagBundle

if TYPE_CHECKING:
    from pathlib import Path

REFRESH_SECONDS = 1


class LoopsBundle(BaseDagBundle):
    """Growth loops for ``[dag_processor] dag_bundle_config_list``.

    ``path``: the loops folder; absent, it is ``[skene] loops_folder``. ``refresh_interval``: seconds between two
    looks at the folder; Airflow asks every `[dag_processor] bundle_refresh_check_interval` (5) at most.
    """

    supports_versioning = False

    def __init__(self, *, path: str | None = None, refresh_interval: int = REFRESH_SECONDS, **kwargs: Any) -> None:
        super().__init__(refresh_interval=refresh_interval, **kwargs)
        self._folder = path

    @property
    def loops(self) -> Path:
        """The loops folder. Raises SettingsError if none is named, or it does not exist."""
        # Airflow imports this file in every process: what the loops need is imported where they are read.
        from skene_airflow.dag_factory.folder import loops_root
        from skene_airflow.errors import SettingsError
        from skene_airflow.hooks.settings import airflow_settings

        folder = self._folder or airflow_settings().loops_folder
        if not folder:
            message = "the bundle knows no loops folder: give it the kwarg `path`, or set [skene] loops_folder"
            raise SettingsError(message)
        return loops_root(folder)

    @property
    def path(self) -> Path:
        """Where Airflow finds the DAG files; another loops folder has another place."""
        return self.base_dir / sha256(str(self.loops).encode()).hexdigest()[:12]

    def get_current_version(self) -> None:
        """None: the folder is always read as it stands now."""

    def initialize(self) -> None:
        """Called by the dag-processor once, and on a worker before every task. Raises SettingsError."""
        self.refresh()
        super().initialize()

    def refresh(self) -> None:
        """Make the DAG files what the loops folder says now. Raises SettingsError."""
        # Also for its imports: the dag-processor forks for each file, and its children then have them already.
        from skene_airflow.dag_factory import stub  # noqa: F401
        from skene_airflow.dag_factory.stub_files import write_stubs

        with self.lock():
            write_stubs(self.loops, self.path)
