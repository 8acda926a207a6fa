"""MLflow with its tracking store on SQLite and local artifacts. SQLite syncs each of its commits; artifacts are not."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

# no word to its makers while it is timed
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["DO_NOT_TRACK"] = "true"

from mlflow import MlflowClient  # type: ignore[import-not-found]  # here it is not; the switch comes first
from mlflow.artifacts import download_artifacts  # type: ignore[import-not-found]  # same
from mlflow.exceptions import MlflowException  # type: ignore[import-not-found]  # same
from sqlalchemy import event  # type: ignore[import-not-found]  # same
from sqlalchemy.engine import Engine  # type: ignore[import-not-found]  # same

_MODEL = "toy"


class Store:
    """A registered model; each generation is a run and a version."""

    def __init__(self, place: Path, *, sync: bool = True) -> None:
        if not sync:
            event.listen(Engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous = OFF"))
        place.mkdir(exist_ok=True)
        self._uri = f"sqlite:///{place}/mlflow.db"
        self._client = MlflowClient(self._uri, self._uri)
        self._place = place
        self._experiment = ""

    def _begin(self) -> None:
        known = self._client.get_experiment_by_name("bench")
        if known is None:
            runs = (self._place / "runs").as_uri()
            self._experiment = self._client.create_experiment("bench", artifact_location=runs)
            self._client.create_registered_model(_MODEL)
        else:
            self._experiment = known.experiment_id

    def commit(self, states: list[bytes]) -> None:
        """Log a run with a parameter and a metric, its artifacts, and register it as a version."""
        if not self._experiment:
            self._begin()
        run = self._client.create_run(self._experiment)
        self._client.log_param(run.info.run_id, "ordinal", 1)
        self._client.log_metric(run.info.run_id, "score", 0.97)
        with tempfile.TemporaryDirectory(dir=self._place) as folder:
            for number, state in enumerate(states):
                Path(folder, f"{number}.bin").write_bytes(state)
            self._client.log_artifacts(run.info.run_id, folder, "states")
        self._client.set_terminated(run.info.run_id)
        self._client.create_model_version(_MODEL, f"{run.info.artifact_uri}/states", run.info.run_id)

    def list(self) -> int:
        """Page through the versions."""
        count, token = 0, None
        while True:
            page = self._client.search_model_versions(f"name = '{_MODEL}'", max_results=10_000, page_token=token)
            count, token = count + len(page), page.token
            if not token:
                return count

    def load(self) -> bytes:
        """Find the latest version, and read its artifact where it lies."""
        try:
            (latest,) = self._client.get_latest_versions(_MODEL, ["None"])
        except MlflowException:
            (latest,) = self._client.search_model_versions(
                f"name = '{_MODEL}'", max_results=1, order_by=["version_number DESC"]
            )
        path = download_artifacts(artifact_uri=f"{latest.source}/0.bin", tracking_uri=self._uri)
        return Path(path).read_bytes()
