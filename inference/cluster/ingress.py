"""The ingress deployment: the REST API of the one-machine server, for any number of replicas."""

from __future__ import annotations

from typing import Any

from ray.serve.handle import DeploymentHandle

from inference.cluster.settings import ServiceSettings
from inference.rest.application import application
from inference.rest.handlers import RestApi
from inference.serving.guard import Application, Guard


class Ingress:
    """Takes requests, stores prompts in the library, and tells the dispatcher.

    Args:
        settings: of the service.
        dispatcher: has prompts painted.
    """

    def __init__(self, settings: ServiceSettings, dispatcher: DeploymentHandle) -> None:
        self._library, self._dispatcher = settings.open_library(), dispatcher
        api = RestApi(
            self._library, settings.read_catalog(), settings.rest_rules(),
            accepted=dispatcher.wake.remote, stopped=dispatcher.cancel.remote,
            progress=self._progress,
        )  # fmt: skip
        hosts = [name.lower() for name in settings.hosts]
        self._app: Application = Guard(application(api), hosts=hosts)

    def __serve_build_asgi_app__(self) -> Application:
        """The application that answers."""
        return self._app

    async def _progress(self, job: int) -> dict[str, Any] | None:
        told: dict[str, Any] | None = await self._dispatcher.progress.remote(job)
        return told
