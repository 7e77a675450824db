"""The table of attacks: rows that hold, and the same rows against a door that was left open."""

import pickle
import sys
import urllib.request
from collections.abc import Callable, Iterator

import pytest

from benchmarks.attacks import files, videos
from benchmarks.attacks.bench import SECRET, Bench, Payload, bench
from benchmarks.attacks.table import Attack, Outcome, answered, page, refused
from moclip.data.fetch import archives
from tests.support.clips import encode, scrolling

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="costs of processes are told by Linux alone")


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("bench")
    film = encode(folder / "a.avi", scrolling(12, 3, -2))
    with bench(folder / "no models", folder / "no bundle", film) as made:
        yield made


def tried(ready: Bench, attack: Attack) -> Outcome:
    with ready.attack():
        return attack.do(ready)


def one(words: str) -> Attack:
    found = [attack for attack in (*files.attacks(), *videos.attacks()) if words in attack.tried]
    assert len(found) == 1, found
    return found[0]


@pytest.mark.parametrize(
    "words",
    ["zip: climbing", "zip: a setuid file", "list: a class `..`", "params.yaml: a bomb", "ffconcat", "size.mkv"],
)
def test_rows_hold(ready: Bench, words: str) -> None:
    words = "tracks state 2^55 bytes" if words == "size.mkv" else words
    assert tried(ready, one(words)).verdict == "held"


def test_a_row_fails_where_the_door_is_open(ready: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_fault", lambda entry: None)
    outcome = tried(ready, one("zip: climbing"))
    assert outcome.verdict == "failed"
    assert "written outside: evil.avi" in outcome.happened


CROSSINGS: dict[str, Callable[[Bench], object]] = {
    "code of the attacker ran": lambda ready: pickle.loads(pickle.dumps(Payload(ready.mark))),
    "a request left: GET http://elsewhere.example/x": lambda _: urllib.request.urlopen("http://elsewhere.example/x"),
    "a secret was told": lambda _: sys.stdout.write(SECRET),
    "raw control characters at the terminal": lambda _: sys.stdout.write("\x1b[31m"),
    "a message without end": lambda _: sys.stderr.write("x" * 30_000),
    "written outside: outside/x": lambda ready: (ready.outside / "x").touch(),
    "canary: a program was started: subprocess.Popen": lambda _: __import__("subprocess").call(["true"]),
}


@pytest.mark.parametrize("crossed", CROSSINGS)
def test_what_crosses_a_line_is_seen(ready: Bench, crossed: str) -> None:
    with ready.attack():
        done = ready.call(lambda: CROSSINGS[crossed](ready))
        assert crossed in done.crossed
        assert answered(done).verdict == refused(done, "").verdict == "failed"


def test_a_refusal_is_no_crash_and_its_words_are_looked_at(ready: Bench) -> None:
    with ready.attack():
        done = ready.moclip("motion", "absent.avi", "--out", "out")
    assert refused(done, "no such file").verdict == "held"
    assert refused(done, "another reason").verdict == "failed"
    with ready.attack():
        done = ready.call(lambda: 1 // 0)
    assert refused(done, "").verdict == "failed"
    assert "status 70" in refused(done, "").happened


def test_page_is_the_same_in_every_run() -> None:
    attack = Attack("H1", "a `|` b", "refused", lambda _: Outcome("", "held"))
    rows = [
        (
            attack,
            Outcome(
                f"error: /tmp/{digits}/moclip-attack-{digits}/given/{digits}/a.avi: 127.0.0.1:{port} is <b>", "held"
            ),
        )
        for digits, port in (("abc1230123456789", 5000), ("def7890123456789", 40123))
    ]
    assert page(rows[:1]) == page(rows[1:])
    assert "1 attacks: 1 held, 0 failed, 0 not promised, 0 not tried" in page(rows[:1])
    assert r"| H1 | a `\|` b | refused | error: …/given/…/a.avi: 127.0.0.1:PORT is &lt;b> | held |" in page(rows[:1])
