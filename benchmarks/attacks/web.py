"""Servers of strangers: downloads, hubs, tracking servers, and what an address gives away."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.attacks.bench import SECRET, Bench, Done
from benchmarks.attacks.table import NEW, Attack, Outcome, answered, harmless, refused
from moclip.base.files import read_json
from moclip.data.fetch.transfer import Patience
from tests.support import hub_server
from tests.support.liar import GOOD, Liar, lying
from tests.support.servers import Handler, Site, lie, make_certificate, serving, status

QUICK = Patience(retries=1, backoff_seconds=0.001, longest_wait_seconds=0.01, connect_seconds=2, stall_seconds=2)
Fault = Callable[[Handler], bool]
NO_FILE = "refused; no request leaves encryption, no file"


def attacks() -> Iterator[Attack]:
    """All of them."""
    for number, tried, fault, words in _faults():
        yield Attack(number, f"download: {tried}", "refused by name; no file", _faulty(fault, words))
    for tried, hops in HOPS.items():
        yield Attack("M7", f"download: {tried}", NO_FILE, _led(hops))
    yield Attack("M7", "download: plain http", "goes on, with a warning", _plain)
    yield Attack(NEW, "download: a redirect to another host, with a password in ~/.netrc", "it stays at home", _netrc)
    yield Attack(NEW, "download: another file than `data.sha256` says", "refused", _other_digest)
    for address in ADDRESSES:
        must = "refused, or told without the secret"
        yield Attack("M6", f"`data.url` is {_shown(address)}", must, _data_url(address))
    for address in STORES:
        must = "told without the secret"
        yield Attack("M5", f"MLFLOW_TRACKING_URI is {_shown(address)}", must, _store(address))
    for number, tried, said in SAID:
        yield Attack(number, f"models:/ where the server says {tried}", "refused; nothing is written", _lied(said))
    for number, tried, text in DESCRIPTIONS:
        yield Attack(number, f"models:/ whose MLmodel {tried}", "refused; nothing is opened", _described(text))
    for name in ("../x", "/abs", "..", "a/../../x", "%2e%2e/x", "..\\x", "a\0b", "\x1b[31m"):
        tried = f"models:/ whose listing names `{ascii(name)[1:-1]}`"
        yield Attack("tries" if name == "../x" else NEW, tried, "refused, or below the cache", _list_names(name))
    for artifact in ("/etc/passwd", "../report.md", "..", "", "a/b", 7, "artifacts\\x"):
        tried = f"outbox: a waiting result whose artifact is `{artifact}`"
        yield Attack("M2", tried, "not uploaded", _waiting(artifact))
    for number, tried, file in HUB_FILES:
        yield Attack(number, f"hf:// whose manifest lists `{tried}`", "refused; it is not asked for", _on_hub(file))
    yield Attack(NEW, "hf:// whose file states 10^18 bytes", "refused; it is not fetched", _vast_on_hub)
    yield Attack(NEW, "hf:// that leads to another host, with a token", "the token stays at home", _hub_leads)


def _shown(address: str) -> str:
    return f"`{address.replace(SECRET, '…')}`"


def _fetch(url: str, **options: Any) -> Callable[[], object]:
    def do() -> object:
        from moclip.data.fetch.transfer import download

        return download(url, Path("a.bin"), patience=QUICK, **options)

    return do


def _faulty(fault: Fault, words: str) -> Callable[[Bench], Outcome]:
    def do(bench: Bench) -> Outcome:
        with serving(Site({"/a.bin": bytes(1000)}, faults=[fault] * 20)) as site:
            found = refused(bench.call(_fetch(f"{site.url}/a.bin")), words, bounded=True)
        return Outcome("a file is there", "failed") if (bench.work / "a.bin").exists() else found

    return do


def _faults() -> Iterator[tuple[str, str, Fault, str]]:
    yield "tries", "a redirect to file://", status(302, Location="file:///etc/passwd"), "no address of the web"
    yield "tries", "redirects without end", status(302, Location="/a.bin"), "redirects"
    yield "L7", "Content-Length of 5,000 digits", lie(Content_Length="9" * 5000), "size|Exceeded|gave up"
    yield "tries", "Content-Length of 10^18 bytes", lie(Content_Length="9" * 18), "needs"
    yield "tries", "a wait of `²` seconds", status(503, Retry_After="²"), "gave up"
    yield "tries", "escape sequences in the reason", _reason, "HTTP status 404"
    yield NEW, "a redirect to ftp://", status(302, Location="ftp://127.0.0.1/x"), "no address of the web"
    yield NEW, "a redirect to a UNC path", status(302, Location="\\\\127.0.0.1\\x"), "redirect|status|cannot|gave up"
    yield NEW, "a redirect to data:", status(302, Location="data:,x"), "no address of the web"
    yield NEW, "a redirect with escape sequences", status(302, Location="gopher://x/\x1b[31m"), "refused|gave up|cannot"
    yield NEW, "a size below zero", lie(Content_Length="-5"), "size|gave up"
    yield NEW, "two sizes", _two_sizes, "size|gave up|cannot"
    yield NEW, "a packed answer that unfolds to more", lie(Content_Encoding="gzip"), "re-encoded"
    yield NEW, "headers without end", _headers, "gave up|cannot"


def _reason(handler: Handler) -> bool:
    handler.wfile.write(b"HTTP/1.1 404 \x1b[31mred\x1b]0;x\x07\r\nContent-Length: 0\r\n\r\n")
    return True


def _two_sizes(handler: Handler) -> bool:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 7\r\n\r\n1234567")
    handler.close_connection = True
    return True


def _headers(handler: Handler) -> bool:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 100_000)
    handler.close_connection = True
    return True


HOPS: dict[str, tuple[str, ...]] = {
    "https -> http": ("https", "http"),
    "https -> http -> https": ("https", "http", "https"),
    "http -> https -> http": ("http", "https", "http"),
}


def _led(kinds: tuple[str, ...]) -> Callable[[Bench], Outcome]:
    def do(bench: Bench) -> Outcome:
        pem, trusted = make_certificate(bench.given, "localhost")
        with ExitStack() as stack:
            sites = [
                stack.enter_context(serving(Site({"/a.bin": b"x"}), pem if kind == "https" else None)) for kind in kinds
            ]
            for here, there in pairwise(sites):
                here.faults = [status(302, Location=f"{there.url}/a.bin")] * 9
            done = bench.call(_fetch(f"{sites[0].url}/a.bin", ca_bundle=trusted))
            left = kinds.index("http", kinds.index("https"))
            if any(site.asked for site in sites[left:]):
                return Outcome("the hop that leaves encryption was asked", "failed")
        return refused(done, "which is not encrypted")

    return do


def _plain(bench: Bench) -> Outcome:
    with serving(Site({"/a.bin": b"x"})) as site:
        done = bench.call(lambda: _logged(_fetch(f"{site.url}/a.bin")))
    return answered(done, words="is not encrypted")


def _logged(do: Callable[[], object]) -> object:
    from moclip.base.console import set_up_logging

    set_up_logging("%(message)s")
    return do()


def _netrc(bench: Bench) -> Outcome:
    (bench.place / "home/.netrc").write_text(f"machine localhost login me password {SECRET}\n")
    (bench.place / "home/.netrc").chmod(0o600)
    there = f"{bench.canary}/a.bin"
    with serving(Site({}, faults=[status(302, Location=there)] * 9)) as site:
        done = bench.call(_fetch(f"{site.url}/a.bin"), may_ask=True)
    if any("credentials" in one for one in bench.caught):
        return Outcome("the password went to the other host", "failed")
    return refused(done, "gave up|status|cannot")


def _other_digest(bench: Bench) -> Outcome:
    with serving(Site({"/a.bin": b"x"})) as site:
        done = bench.call(_fetch(f"{site.url}/a.bin", sha256="0" * 64))
    return refused(done, "SHA-256|sha256")


ADDRESSES = tuple(
    form.format(SECRET)
    for form in (
        *("http://me:{}@127.0.0.1:9/x.zip", "http://{}@127.0.0.1:9/x.zip", "http://me:a@b{}@127.0.0.1:9/x.zip"),
        *(
            "http://127.0.0.1:9/x.zip?token={}",
            "http://127.0.0.1:9/x.zip?X-Amz-Signature={}",
            "http://127.0.0.1:9/x#{}",
        ),
        *("http://me%3A{}%40127.0.0.1:9/x.zip", "http://me:a/{}@127.0.0.1:9/x.zip", "HTTP://me:{}@127.0.0.1:9/x"),
        "http://127.0.0.1:9/x.zip;token={}",
    )
)


def _data_url(address: str) -> Callable[[Bench], Outcome]:
    def check() -> object:
        from moclip.params.data import DataParams
        from moclip.params.section import validated
        from stages._entry import read_params

        given = read_params(Path("params.yaml"))["data"] | {"source": "ucf101", "archive": "thumos", "url": address}
        validated("data", DataParams, given)
        return _fetch(address)()

    def do(bench: Bench) -> Outcome:
        from tests.support.imports import ROOT

        (bench.work / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
        return harmless(bench.call(check))

    return do


STORES = tuple(
    form.format(SECRET)
    for form in (
        *("postgresql://u:{}@127.0.0.1:9/db", "postgresql://127.0.0.1:9/db?user=u&password={}"),
        *("postgresql://u:p@{}@127.0.0.1:9/db", "postgresql://u:a%40{}@127.0.0.1:9/db", "http://u:{}@127.0.0.1:9"),
        *("http://127.0.0.1:9/?token={}", "mysql+pymysql://u:{}/x@127.0.0.1:9/db", "http://u:a b{}@127.0.0.1:9"),
        "mssql+pyodbc://?odbc_connect=DRIVER%3Dx%3BSERVER%3D127.0.0.1%3BPWD%3D{}",
    )
)


def _store(address: str) -> Callable[[Bench], Outcome]:
    def do(bench: Bench) -> Outcome:
        env = {"MLFLOW_TRACKING_URI": address, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
        done = bench.moclip("predict", bench.film, "--model", "models:/x@best", env=env)
        return refused(done, "error: ")

    return do


SAID: tuple[tuple[str, str, Mapping[str, object]], ...] = (
    *(("M2", f"its id is `{one[:12]}`", {"model_id": one}) for one in ("../unrecorded", "../../numpy", "/abs", "..")),
    *((NEW, f"its id is `{one!a:.12}`", {"model_id": one}) for one in ("a\\b", "m\x1b[31m", "%2e%2e", "x" * 300, ".")),
    *(
        ("M2" if one.startswith("file") else NEW, f"it lies at `{one}`", {"artifact_uri": one})
        for one in ("file:///etc", "FILE:///etc", "/etc", "relative", "file:etc", "models:/m-2", "ftp://127.0.0.1/x")
    ),
)


def _from_server(bench: Bench, liar: type[Liar]) -> Done:
    env = {"MLFLOW_TRACKING_URI": liar.url, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    return bench.moclip("predict", bench.film, "--model", "models:/m-1", env=env)


def _lied(said: Mapping[str, object]) -> Callable[[Bench], Outcome]:
    def do(bench: Bench) -> Outcome:
        (bench.given / "MLmodel").write_text(GOOD)
        with lying(bench.given) as liar:
            liar.said = dict(said)
            done = _from_server(bench, liar)
        found = refused(done, "which is none|no server chooses")
        return Outcome("files were written", "failed") if list(bench.work.rglob("MLmodel")) else found

    return do


DESCRIPTIONS = (
    ("M2", "names `data: /etc`", GOOD.replace("data: data", "data: /etc")),
    ("M2", "names `data: ../y`", GOOD.replace("data: data", "data: ../y")),
    ("M2", "has a tag of Python", "flavors: !!python/object/apply:os.mkdir [ran]"),
    (NEW, "names another loader", GOOD.replace("moclip.tracking.serving", "os")),
    (NEW, "names no text", GOOD.replace("data: data", "data: [1]")),
    (NEW, "has 5,000 brackets", "[" * 5000),
    (NEW, "is empty", ""),
)


def _described(text: str) -> Callable[[Bench], Outcome]:
    def do(bench: Bench) -> Outcome:
        (bench.given / "MLmodel").write_text(text)
        with lying(bench.given) as liar:
            return refused(_from_server(bench, liar), "no folder inside|none of moclip|cannot be read as MLflow")

    return do


def _list_names(name: str) -> Callable[[Bench], Outcome]:
    def do(bench: Bench) -> Outcome:
        (bench.given / "MLmodel").write_text(GOOD)
        with lying(bench.given) as liar:
            liar.listed = [{"path": name, "is_dir": False, "file_size": 1}]
            return harmless(_from_server(bench, liar))

    return do


def _mark(taken: Path) -> bool:
    taken.mkdir()
    return True


def _waiting(name: object) -> Callable[[Bench], Outcome]:
    def do(bench: Bench) -> Outcome:
        from moclip.tracking.pending import deliver, keep
        from moclip.tracking.result import Result
        from moclip.tracking.store import store_at

        store = store_at(bench.work, "http://127.0.0.1:9")
        made = Result("demo", "k", "x", {}, {}, {}, [], "0" * 16, artifacts=[])
        place = keep(made, bench.work / "none", bench.work / "pending", store)
        facts = read_json(place / "result.json")
        (place / "result.json").write_text(json.dumps(facts | {"artifacts": [name]}))
        taken = bench.given / "taken"
        done = bench.call(lambda: _logged(lambda: deliver(bench.work / "pending", store, lambda kept: _mark(taken))))
        if taken.exists():
            return Outcome("it was taken for upload", "failed")
        return answered(done, words="no plain name|is a link or no file|cannot be")

    return do


HUB_FILES = (
    ("L5", "../../escaped", "../../escaped"),
    ("L5", "/etc/passwd", "/etc/passwd"),
    (NEW, "a\\b", "a\\b"),
    (NEW, "clip/\\x1b]0;x", "clip/\x1b]0;x"),
    (NEW, "clip//x", "clip//x"),
)


def _hub_bundle(bench: Bench, file: str | None = None) -> dict[str, bytes]:
    facts = read_json(bench.good / "bundle.json")
    if file is not None:
        facts["files"] |= {file: "0" * 64}
    names = {path.relative_to(bench.good).as_posix(): path for path in bench.good.rglob("*") if path.is_file()}
    content = {f"a/b/{name}": path.read_bytes() for name, path in names.items()}
    return content | {"a/b/bundle.json": json.dumps(facts).encode()}


def _from_hub(bench: Bench, hub: hub_server.Hub, **more: str) -> Done:
    """In a process of its own: the hub library reads its environment when it is imported."""
    env = {"HF_ENDPOINT": hub.url, "HF_HOME": str(bench.place / "tmp/hf"), "HF_HUB_DISABLE_XET": "1", **more}
    from tests.support.imports import ROOT

    env["PYTHONPATH"] = str(ROOT)
    words = ("predict", bench.film, "--model", "hf://a/b", "--head", "motion_only")
    return bench.program("-m", "moclip", *words, env=env)


def _on_hub(file: str) -> Callable[[Bench], Outcome]:
    def do(bench: Bench) -> Outcome:
        with hub_server.serving(_hub_bundle(bench, file)) as hub:
            found = refused(_from_hub(bench, hub), "plain path|print")
            asked = [line for line in hub.requests if "bundle.json" not in line]
        return Outcome(f"other files were asked for: {asked[:2]}", "failed") if asked else found

    return do


def _vast_on_hub(bench: Bench) -> Outcome:
    with hub_server.serving(_hub_bundle(bench)) as hub:
        hub.stated = {"a/b/motion/model.safetensors": 10**18}
        return refused(_from_hub(bench, hub), "states 1,000,000,000,000,000,000 bytes")


def _hub_leads(bench: Bench) -> Outcome:
    with hub_server.serving(_hub_bundle(bench)) as hub:
        done = _from_hub(bench, hub, HF_TOKEN=SECRET)
        told = [line for line in hub.authorised if line.startswith("/cdn/")]
    return Outcome(f"the token went along: {told[:1]}", "failed") if told else answered(done)
