"""A visitor of the page, who speaks with its server as a browser does."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx


class Visitor:
    """A tab of the page, as a browser speaks with the server."""

    API = "/gradio_api"

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self._session = uuid.uuid4().hex
        config = client.get("/config").json()
        self._events = {one["api_name"]: one for one in config["dependencies"]}
        self._props = {one["id"]: one["props"] for one in config["components"]}

    @contextmanager
    def here(self) -> Iterator[None]:
        """The time from opening the tab to closing it."""
        with self._client.stream("GET", f"{self.API}/heartbeat/{self._session}") as beats:
            lines = beats.iter_lines()  # which hangs up once nobody holds it
            next(lines)
            yield

    def upload(self, data: bytes) -> None:
        """Choose a photo."""
        name = f"{self._session}.png"
        path = self._client.post(f"{self.API}/upload", files={"files": (name, data)}).json()[0]
        self._queued("open", photo={"path": path, "meta": {"_type": "gradio.FileData"}})

    def look(self, **values: Any) -> dict[str, Any]:
        """Change something and see the mask."""
        answer = self._client.post(f"{self.API}/run/predict", json=self._call("show_mask", values))
        return answer.json()["data"][0]

    def fetch(self, url: str) -> list[Any]:
        """Give the address of a photo."""
        return self._queued("fetch_photo", input_image_url=url)

    def paint(self, **values: Any) -> list[Any]:
        """Press Generate and wait."""
        self._client.post(f"{self.API}/run/predict", json=self._call("begin", {}))
        return self._queued("run_job", **values)

    def _queued(self, name: str, **values: Any) -> list[Any]:
        self._client.post(f"{self.API}/queue/join", json=self._call(name, values))
        place = f"{self.API}/queue/data?session_hash={self._session}"
        with self._client.stream("GET", place) as lines:
            for line in lines.iter_lines():
                message = json.loads(line.removeprefix("data: ")) if line else {}
                if message.get("msg") == "process_completed":
                    assert message["success"], message
                    return message["output"].get("data", [])
        raise AssertionError("it never ended")

    def _call(self, name: str, values: dict[str, Any]) -> dict[str, Any]:
        """An event with what stands in the controls, but for some that are changed."""
        event = self._events[name]
        data = []
        for number in event["inputs"]:
            props = self._props[number]
            data.append(values.get(props.get("elem_id", ""), props.get("value")))
        if name == "open":
            data = [values["photo"]]
        return {"data": data, "fn_index": event["id"], "session_hash": self._session}
