"""Tests of the files in deploy/: what they say is what the service and Ray take."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.serve.schema import ServeDeploySchema

from inference.cluster.settings import ServiceSettings
from tests.test_installing import PINS

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


def manifest() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "kuberay.yaml").read_text())
    return found


def config(name: str) -> dict[str, Any]:
    """The Serve config in a file."""
    if name == "serve.yaml":
        found: dict[str, Any] = yaml.safe_load((DEPLOY / name).read_text())
        return found
    inside: dict[str, Any] = yaml.safe_load(manifest()["spec"]["serveConfigV2"])
    return inside


@pytest.mark.parametrize("name", ["serve.yaml", "kuberay.yaml"])
def test_a_config_is_what_serve_and_the_service_take(name: str) -> None:
    (application,) = ServeDeploySchema.model_validate(config(name)).applications
    assert application.import_path == "inference.cluster.service:app"
    settings = ServiceSettings(**application.args)
    assert settings.style == "photo"
    assert settings.max_painters > settings.min_painters


def test_both_configs_say_the_same_but_for_who_can_reach_them() -> None:
    alone, within = config("serve.yaml"), config("kuberay.yaml")
    assert alone["http_options"].pop("host") == "127.0.0.1"
    assert within["http_options"].pop("host") == "0.0.0.0"
    names = within["applications"][0]["args"].pop("hosts")
    assert alone["applications"][0]["args"].pop("hosts") == names[:1]
    assert alone == within


def test_the_manifest_has_the_pinned_ray_and_room_for_every_painter() -> None:
    cluster = manifest()["spec"]["rayClusterConfig"]
    assert cluster["rayVersion"] == PINS["ray"]
    settings = ServiceSettings(**config("kuberay.yaml")["applications"][0]["args"])
    painters, finders = cluster["workerGroupSpecs"]
    assert painters["maxReplicas"] == settings.max_painters
    limits = [
        group["template"]["spec"]["containers"][0]["resources"]["limits"]
        for group in (painters, finders)
    ]
    assert limits[0]["nvidia.com/gpu"] == settings.painter_gpus
    assert "nvidia.com/gpu" not in limits[1]
    room = finders["maxReplicas"] * int(limits[1]["cpu"])
    assert room >= settings.max_mask_finders * settings.mask_finder_cpus


def test_the_image_adds_ray_to_that_of_the_one_machine_server() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    assert re.search(r"^FROM masquerade$", text, re.MULTILINE)
    assert "-r requirements-ray.txt -c constraints.txt" in text
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    assert ignored[1:] == ["*", "!requirements-ray.txt", "!constraints.txt"]
