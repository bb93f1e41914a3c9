"""HTTP client of the page, which sends the same requests as a browser tab."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx


class Visitor:
    """A session of the page over HTTP."""

    API = "/gradio_api"

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self._session = uuid.uuid4().hex
        config = client.get("/config").json()
        self._events = {one["api_name"]: one for one in config["dependencies"]}
        self._props = {one["id"]: one["props"] for one in config["components"]}

    @contextmanager
    def here(self) -> Iterator[None]:
        """Context manager from opening the tab to closing it."""
        with self._client.stream("GET", f"{self.API}/heartbeat/{self._session}") as beats:
            lines = beats.iter_lines()  # referenced, because its deletion closes the stream
            next(lines)
            yield

    def upload(self, data: bytes) -> None:
        """Upload a photo."""
        name = f"{self._session}.png"
        path = self._client.post(f"{self.API}/upload", files={"files": (name, data)}).json()[0]
        self._queued("open", photo={"path": path, "meta": {"_type": "gradio.FileData"}})

    def look(self, **values: Any) -> dict[str, Any]:
        """Change form values and return the mask data."""
        answer = self._client.post(f"{self.API}/run/predict", json=self._call("show_mask", values))
        return answer.json()["data"][0]

    def fetch(self, url: str) -> list[Any]:
        """Open a photo from a URL."""
        return self._queued("fetch_photo", input_image_url=url)

    def paint(self, **values: Any) -> list[Any]:
        """Run a job and wait for its end."""
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
        """Send an event with the form's values, some of them changed."""
        event = self._events[name]
        data = []
        for number in event["inputs"]:
            props = self._props[number]
            data.append(values.get(props.get("elem_id", ""), props.get("value")))
        if name == "open":
            data = [values["photo"]]
        return {"data": data, "fn_index": event["id"], "session_hash": self._session}
