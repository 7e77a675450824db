"""A tracking server that says of a model what a test wants it to."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.servers import Server, running

GOOD = "flavors: {python_function: {loader_module: moclip.tracking.serving, data: data}}"


class Liar(BaseHTTPRequestHandler):
    """The few answers that `fetch_model` asks for; `said` is what it says of the model, `files` what it serves."""

    said: dict[str, Any]
    files: Path
    url: str
    listed: list[dict[str, Any]] | None = None  # in place of the files that there are

    def do_GET(self) -> None:
        place = urlsplit(self.path)
        mark = "/mlflow-artifacts/artifacts"
        if "/logged-models/" in place.path:
            info = {"model_id": "m-1", "name": "x", "experiment_id": "1", "status": "LOGGED_MODEL_READY"}
            info |= {"creation_timestamp_ms": 1, "last_updated_timestamp_ms": 1, "artifact_uri": "mlflow-artifacts:/m"}
            return self._send({"model": {"info": info | self.said, "data": {}}})
        if place.path.endswith(mark):
            folder = self.files / parse_qs(place.query).get("path", [""])[0].removeprefix("m").lstrip("/")
            listed = [
                {"path": path.name, "is_dir": path.is_dir(), **({} if path.is_dir() else {"file_size": 1})}
                for path in sorted(folder.iterdir())
            ]
            return self._send({"files": listed if self.listed is None else self.listed})
        path = self.files / place.path.partition(f"{mark}/m/")[2]
        return self._send(path.read_bytes() if path.is_file() else b"x")

    def _send(self, body: Any) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: what came of it is looked at."""


@contextmanager
def lying(files: Path) -> Iterator[type[Liar]]:
    """A server of the files below a folder, on a free port of loopback."""
    handler = type("OneLiar", (Liar,), {"said": {}, "files": files, "url": ""})
    server = Server(("127.0.0.1", 0), handler)
    handler.url = f"http://127.0.0.1:{server.server_port}"
    with running(server):
        yield handler
