"""The Serve application: `serve run inference.cluster.service:app library=… max_painters=4`."""

from __future__ import annotations

from typing import Any

from ray import serve
from ray.serve import Application
from ray.serve.config import AutoscalingConfig, BackpressureConfig, RequestRouterConfig

from inference.cluster.connection import runtime_env
from inference.cluster.dispatcher import Dispatcher
from inference.cluster.ingress import Ingress
from inference.cluster.mask_finder import MaskFinder
from inference.cluster.painter import Painter
from inference.cluster.settings import ServiceSettings

# Calls that a replica has at once: a request of the ingress mostly waits for the library.
REQUESTS, LOOKS = 64, 8
# Seconds that a replica has for its open requests when it is replaced, and that a node has to
# answer before it is held to be gone.
DRAIN, HEALTH_SECONDS = 30.0, 10.0
# Seconds after which a call that waits for a painter looks for a free one again. Serve's 0.5 would
# leave painters without work for a fifth of the time that a short job takes.
LOOK_AGAIN = 0.05
# New replicas take requests before the old ones end.
SURGE = 100


def app(settings: ServiceSettings) -> Application:
    """Build the application: ingress → dispatcher → mask finders and painters.

    Args:
        settings: of the service; `serve run` and a Serve config file give them as `args`.
    """
    finder = None
    if settings.max_mask_finders:
        finder = serve.deployment(MaskFinder, **_mask_finder_options(settings)).bind(settings)
    painter = serve.deployment(Painter, **_painter_options(settings)).bind(settings)
    dispatcher = serve.deployment(
        Dispatcher, num_replicas=1, max_ongoing_requests=1000, max_surge_percent=SURGE,
        graceful_shutdown_timeout_s=settings.drain, health_check_period_s=HEALTH_SECONDS,
        ray_actor_options=_actor(cpus=0),
    ).bind(settings, painter, finder)  # fmt: skip
    return serve.deployment(
        serve.ingress()(Ingress), name="Ingress", num_replicas=settings.ingresses,
        max_ongoing_requests=REQUESTS, max_queued_requests=settings.max_waiting,
        backpressure_config=BackpressureConfig(
            status_code=503, retry_after_s=settings.retry_after
        ),
        max_surge_percent=SURGE, graceful_shutdown_timeout_s=DRAIN,
        ray_actor_options=_actor(cpus=0),
    ).bind(settings, dispatcher)  # fmt: skip


def _painter_options(settings: ServiceSettings) -> dict[str, Any]:
    # A second job is claimed while the first is painted where only a GPU would wait for it.
    at_once = 2 if settings.painter_gpus else 1
    return {
        "autoscaling_config": AutoscalingConfig(
            min_replicas=settings.min_painters, max_replicas=settings.max_painters,
            target_ongoing_requests=at_once,
        ),
        "max_ongoing_requests": at_once,
        "request_router_config": RequestRouterConfig(max_backoff_s=LOOK_AGAIN),
        "max_queued_requests": settings.max_waiting,
        "graceful_shutdown_timeout_s": settings.drain,
        "health_check_period_s": HEALTH_SECONDS,
        "ray_actor_options": _actor(settings.painter_cpus, settings.painter_gpus),
    }  # fmt: skip


def _mask_finder_options(settings: ServiceSettings) -> dict[str, Any]:
    return {
        "autoscaling_config": AutoscalingConfig(
            min_replicas=max(1, settings.min_mask_finders),
            max_replicas=max(1, settings.max_mask_finders),
            target_ongoing_requests=LOOKS / 2,
        ),
        "max_ongoing_requests": LOOKS,
        "max_queued_requests": settings.max_waiting,
        "ray_actor_options": _actor(settings.mask_finder_cpus),
    }  # fmt: skip


def _actor(cpus: float, gpus: float = 0.0) -> dict[str, Any]:
    return {"num_cpus": cpus, "num_gpus": gpus, "runtime_env": runtime_env()}
