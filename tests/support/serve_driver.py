"""A driver that deploys the service on a cluster, or other settings of it, and ends."""

from __future__ import annotations

import json
import sys

from ray import serve

from inference.cluster.connection import connect
from inference.cluster.launch import NAME
from inference.cluster.service import app
from inference.cluster.settings import ServiceSettings

if __name__ == "__main__":
    address, settings = sys.argv[1:]
    connect(address)
    serve.run(app(ServiceSettings(**json.loads(settings))), name=NAME, route_prefix="/")
