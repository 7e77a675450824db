"""A model hub on loopback that speaks as much of the Hugging Face Hub's protocol as down- and uploads need."""

import base64
import hashlib
import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = "c0ffee" + "0" * 34


class Hub(ThreadingHTTPServer):
    """Repositories as files by `org/name/file`; large files are sent from another path, as by the hub's CDN.

    `fault`: "" (none), "stall" (no answer), "private" (401), "damage" (a byte is changed on the way), "cut" (the first
    body breaks off in the middle).
    """

    def __init__(self, files: Mapping[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files, self.fault = dict(files), ""
        self.requests: list[str] = []
        self.objects: dict[str, bytes] = {}  # what was uploaded as a large file, by SHA-256
        self.stated: dict[str, int] = {}  # sizes that it announces in place of the right ones
        self.authorised: list[str] = []  # paths that were asked for with a token
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self.server.requests.append(f"POST {self.path}")
        body = self.rfile.read(int(self.headers["Content-Length"]))
        parts = self.path.lstrip("/").split("/")
        if self.server.fault == "private":
            self._send(401, {"X-Error-Code": "RepoNotFound"})
        elif self.path == "/api/repos/create":
            asked = json.loads(body)
            self._json({"url": f"{self.server.url}/{asked['organization']}/{asked['name']}"})
        elif self.path == "/api/validate-yaml":
            self._json({"errors": [], "warnings": []})
        elif "preupload" in parts:
            names = [file["path"] for file in json.loads(body)["files"]]
            modes = {name: "lfs" if name.endswith((".onnx", ".safetensors")) else "regular" for name in names}
            self._json({"files": [{"path": n, "uploadMode": modes[n], "shouldIgnore": False} for n in names]})
        elif self.path.endswith(".git/info/lfs/objects/batch"):
            wanted = {one["oid"]: one["size"] for one in json.loads(body)["objects"]}
            places = {oid: {"upload": {"href": f"{self.server.url}/upload/{oid}"}} for oid in wanted}
            objects = [{"oid": oid, "size": size, "actions": places[oid]} for oid, size in wanted.items()]
            self._json({"transfer": "basic", "objects": objects})
        else:
            self._commit("/".join(parts[2:4]), [json.loads(line) for line in body.splitlines()])

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.objects[hashlib.sha256(content).hexdigest()] = content
        self._send(200)

    def _commit(self, repository: str, lines: list[dict[str, Any]]) -> None:
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                self.server.files[f"{repository}/{value['path']}"] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.server.files[f"{repository}/{value['path']}"] = self.server.objects[value["oid"]]
        self._json(
            {"success": True, "commitOid": COMMIT, "commitUrl": f"{self.server.url}/{repository}/commit/{COMMIT}"}
        )

    def _json(self, content: Any) -> None:
        self._send(200, {"Content-Type": "application/json"}, json.dumps(content).encode())

    def _answer(self) -> None:
        self.server.requests.append(f"{self.command} {self.path} {self.headers.get('Range', '')}".rstrip())
        if "Authorization" in self.headers:
            self.server.authorised.append(self.path)
        if self.server.fault == "stall":
            self.server.closing.wait(30)
            self.close_connection = True
        elif self.server.fault == "private":
            self._send(401, {"X-Error-Code": "RepoNotFound"})
        elif self.path.startswith("/cdn/"):
            self._send_file(self.server.files[self.path.removeprefix("/cdn/")])
        else:
            self._resolve()

    def _resolve(self) -> None:
        # A listing is of a folder, and no repository here has the one that transformers looks for.
        listed = self.path.startswith("/api/models/") and "/tree/" in self.path
        between = "/tree/main/" if listed else "/resolve/main/"
        repository, _, name = self.path.removeprefix("/api/models" if listed else "").lstrip("/").partition(between)
        key = f"{repository}/{name}"
        if not any(known.startswith(f"{repository}/") for known in self.server.files):
            self._send(404, {"X-Error-Code": "RepoNotFound"})
        elif key not in self.server.files:
            self._send(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
        else:
            content = self.server.files[key]
            etag = f'"{hashlib.sha256(content).hexdigest()}"'
            linked = {
                "X-Repo-Commit": COMMIT,
                "X-Linked-Etag": etag,
                "X-Linked-Size": str(self.server.stated.get(key, len(content))),
            }
            # Another name for the same host: the hub's large files come from another host, too.
            self._send(302, {**linked, "Location": f"{self.server.url.replace('127.0.0.1', 'localhost')}/cdn/{key}"})

    def _send_file(self, content: bytes) -> None:
        if self.server.fault == "damage":
            content = content[:-1] + bytes([content[-1] ^ 1])
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        span = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
        self._send(206 if start else 200, span, content[start:])

    def _send(self, status: int, headers: Mapping[str, str] = {}, content: bytes = b"") -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET" and self.server.fault == "cut" and content:
            self.server.fault, self.close_connection = "", True
            content = content[: len(content) // 2]
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Requests are kept, not printed."""


@contextmanager
def serving(files: Mapping[str, bytes]) -> Iterator[Hub]:
    hub = Hub(files)
    thread = threading.Thread(target=hub.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.closing.set()
        hub.shutdown()
        hub.server_close()
        thread.join()


def hub_environment(endpoint: str, home: Path, **more: str) -> dict[str, str]:
    """For a process of its own: the hub library reads its environment once, at import."""
    own = {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "NO_PROXY": "127.0.0.1,localhost", **more}
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING"))}
    return inherited | own
