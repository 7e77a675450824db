"""`moclip doctor`: what is installed and present, what is missing for the parameters at hand, and what to do next.

Every check stands alone and imports what it needs when it runs: a broken one is a finding, not the end. PyTorch and
the state of the pipeline are asked in processes of their own, which also survive what would kill this one.
"""

import argparse
import csv
import json
import logging
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from moclip.base.outside.terminal import say
from moclip.cli.places import PLACES, Places

log = logging.getLogger(__name__)

State = Literal["ok", "todo", "missing"]

_DVC_STATE = "/var/tmp/dvc"  # DVC's own choice on Linux
_EXTRAS = ("", "train", "track", "pipeline")  # what the pipeline takes
_NAMED = ("torch", "open_clip_torch", "av", "dvc", "mlflow")
_SCARCE_BYTES = 2 << 30
_ANSWER_SECONDS = 120
_STAGES_SHOWN = 3
_INSTALL = "make setup"
_AFTER_A_RUN = "moclip verify, after a run"
_DEVICE = (
    "import json, torch; gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())];"
    "print(json.dumps({'cuda': torch.version.cuda, 'gpus': gpus}))"
)
_ARITHMETIC = (
    "import json, sys; from pathlib import Path; from moclip.base.arithmetic import apply, kernels_of;"
    "chosen = apply(kernels_of(Path(sys.argv[1]))); from moclip.report.fingerprint import fingerprint;"
    "print(json.dumps({'kernels': chosen.kernels, 'pinned': chosen.has_kernels, 'digests': fingerprint()}))"
)


@dataclass(frozen=True)
class Finding:
    """One line: `todo` is what the pipeline makes by itself, `missing` what a person has to bring or repair."""

    name: str
    state: State
    found: str
    remedy: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def run(args: argparse.Namespace, places: Places = PLACES) -> int:
    """Print each finding as it is made; 1 if something is missing that the parameters need."""
    log.info("doctor: looking at this machine and this repository (PyTorch and DVC take some seconds)")
    findings = []
    for one in examining(places):
        findings.append(one)
        if not args.json:
            say(f"{one.state:8} {one.name:10} {one.found}" + (f"\n{'':20}-> {one.remedy}" if one.remedy else ""))
            sys.stdout.flush()
    following = next_command(findings)
    if args.json:
        say(json.dumps({"findings": [asdict(one) for one in findings], "next": following}, indent=2))
    else:
        say(f"next: {following}")
    return int(any(one.state == "missing" for one in findings))


def examine(places: Places) -> list[Finding]:
    """All findings, in the order in which one would repair them."""
    return list(examining(places))


def examining(places: Places) -> Iterator[Finding]:
    """The same, each when it is made."""
    if not _is_set_up():
        yield Finding("packages", "missing", "`make setup` has not run here: moclip itself is not installed", _INSTALL)
        yield _alone("disk", _disk)
        return
    # All take seconds; they work while the rest is looked at.
    torch = _start([sys.executable, "-c", _DEVICE])
    arithmetic = _start([sys.executable, "-c", _ARITHMETIC, str(places.params)])
    conflict = _conflict(places.params.parent)
    pipeline = _start(places.pipeline) if places.params.is_file() and conflict is None else None
    checks: dict[str, Callable[[], Finding]] = {
        "python": _python,
        "packages": _packages,
        "decoder": _decoder,
        "machine": _machine,
        "arithmetic": lambda: _arithmetic(arithmetic, places.fingerprint),
        "device": lambda: _device(torch),
        "cluster": _cluster,
        "disk": _disk,
        "parameters": lambda: _parameters(places.params),
    }
    if places.params.is_file():  # elsewhere no repository is meant, and a word about one would mislead
        checks |= {
            "telemetry": lambda: _telemetry(places.dvc_config),
            "state": lambda: _state(places.dvc_config),
            "git": lambda: _git(places.params.parent),
            "tracking": lambda: _tracking(places),
        }
    if pipeline is not None:
        checks |= {
            "videos": lambda: _videos(places),
            "CLIP": lambda: _clip(places),
            "heads": lambda: _heads(places),
            "report": lambda: _report(places),
            "stages": lambda: _stages(pipeline),
        }
    yield from (_alone(name, check) for name, check in checks.items())
    if conflict is not None:
        yield conflict


def _is_set_up() -> bool:
    """Whether anything is installed; without it every other check would say that alone."""
    try:
        metadata.version("moclip")
    except metadata.PackageNotFoundError:
        return False
    return True


def next_command(findings: Sequence[Finding]) -> str:
    """What to do about the findings: the first repair, else the pipeline, else a prediction."""
    for one in findings:
        if one.state == "missing":
            return one.remedy
    waiting = {one.name for one in findings if one.state == "todo"}
    if waiting & {"videos", "CLIP", "report"}:
        return "make repro"
    return "dvc repro" if waiting else "moclip predict VIDEO"


def _alone(name: str, check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except Exception as error:  # whatever is broken here, the other checks go on
        what = " ".join(f"{type(error).__name__}: {error}".split())
        missing = isinstance(error, ImportError)
        return Finding(name, "missing", f"could not be checked ({what})", _INSTALL if missing else "see the message")


def _start(command: Sequence[str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _answer(process: "subprocess.Popen[str]") -> tuple[Any, str]:
    """What a process printed as JSON, or None and the last line of its complaint."""
    try:
        out, complaint = process.communicate(timeout=_ANSWER_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return None, f"no answer within {_ANSWER_SECONDS} s"
    if process.returncode == 0:
        return json.loads(out), ""
    return None, (complaint.strip().splitlines() or [f"exit status {process.returncode}"])[-1]


def _python() -> Finding:
    from packaging.specifiers import SpecifierSet

    version, wanted = ".".join(map(str, sys.version_info[:3])), metadata.metadata("moclip")["Requires-Python"]
    if version in SpecifierSet(wanted):
        return Finding("python", "ok", version)
    return Finding("python", "missing", f"{version}, needed is {wanted}", f"{_INSTALL} PYTHON=python3.11")


def _packages() -> Finding:
    from packaging.requirements import Requirement

    wanted = [Requirement(text) for text in metadata.requires("moclip") or []]
    needed = [one for one in wanted if any(_holds(one.marker, extra) for extra in _EXTRAS) and one.name != "moclip"]
    faults = [fault for one in needed if (fault := _fault(one.name, one.specifier))]
    if faults:
        return Finding("packages", "missing", "; ".join(faults), _INSTALL)
    named = ", ".join(f"{name} {metadata.version(name)}" for name in _NAMED)
    own = metadata.version("moclip")
    return Finding("packages", "ok", f"moclip {own}; all {len(needed)} that it needs, among them {named}")


def _holds(marker: Any, extra: str) -> bool:
    return marker is None or marker.evaluate({"extra": extra})


def _fault(name: str, wanted: Any) -> str | None:
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return f"{name} is not installed"
    return None if wanted.contains(version, prereleases=True) else f"{name} is {version}, needed is {wanted}"


def _decoder() -> Finding:
    from moclip.video.decode import versions

    found = versions()
    return Finding("decoder", "ok", f"PyAV {found['pyav']} with FFmpeg {found['ffmpeg']}")


def _machine() -> Finding:
    import psutil

    from moclip.base.parallel import cores

    memory = psutil.virtual_memory()
    return Finding(
        "machine", "ok", f"{cores()} CPU cores, {_gib(memory.available)} of {_gib(memory.total)} memory free"
    )


def _arithmetic(process: "subprocess.Popen[str]", recorded: Path) -> Finding:
    found, complaint = _answer(process)
    if found is None:
        return Finding("arithmetic", "missing", f"cannot be told ({complaint})", _INSTALL)
    if found["kernels"] == "native":
        return Finding("arithmetic", "ok", "native: this machine's fastest kernels; other machines give other digits")
    if not found["pinned"]:
        return Finding("arithmetic", "ok", "no AVX2 on this CPU: only threads are pinned", _AFTER_A_RUN)
    kernels = "portable: AVX2 kernels, one thread"
    if not recorded.is_file():
        return Finding("arithmetic", "ok", f"{kernels}; no {recorded} to hold its digits against")
    known = json.loads(recorded.read_text(encoding="utf-8"))["digests"]
    others = sorted(name for name in known if found["digests"].get(name) != known[name])
    if not others:
        return Finding("arithmetic", "ok", f"{kernels}; all {len(known)} families give the recorded digits")
    return Finding(
        "arithmetic", "ok", f"{kernels}, but {', '.join(others)} give other digits than recorded", _AFTER_A_RUN
    )


def _device(process: "subprocess.Popen[str]") -> Finding:
    found, complaint = _answer(process)
    if found is None:
        return Finding("device", "missing", f"PyTorch does not work ({complaint})", _INSTALL)
    build = f"PyTorch built {'for CUDA ' + found['cuda'] if found['cuda'] else 'without CUDA'}"
    return Finding("device", "ok", f"{', '.join(found['gpus']) or 'CPU, no GPU that PyTorch can use'} ({build})")


def _cluster() -> Finding:
    from moclip.base.errors import MoclipError
    from moclip.cluster.address import VARIABLE, address_of, is_open_to_strangers

    text = os.environ.get(VARIABLE)
    if not text:
        return Finding("cluster", "ok", f"none: {VARIABLE} is not set, so this machine does the work")
    try:
        address = address_of(text)
    except MoclipError as error:
        return Finding("cluster", "missing", str(error), f"correct {VARIABLE}, or unset it")
    if find_spec("distributed") is None:
        return Finding("cluster", "missing", f"{address}, but Dask is not installed", "pip install 'moclip[cluster]'")
    if is_open_to_strangers(address):
        found = f"{address} is without TLS: whoever reaches that port runs code as you, on every node"
        return Finding("cluster", "missing", found, "use tls://, as docs/cluster.md says")
    return Finding("cluster", "ok", f"{address} does the work of extraction and of CLIP")


def _disk() -> Finding:
    free = shutil.disk_usage(".").free
    state: State = "ok" if free > _SCARCE_BYTES else "missing"
    return Finding("disk", state, f"{_gib(free)} free", "" if state == "ok" else "free some disk space")


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"


def _telemetry(dvc_config: Path) -> Finding:
    import configparser

    config = configparser.ConfigParser()
    config.read(dvc_config, encoding="utf-8")
    off = config.get("core", "analytics", fallback="") == "false" or os.environ.get("DVC_NO_ANALYTICS", "") != ""
    if off:
        return Finding(
            "telemetry", "ok", "off: DVC's by configuration, MLflow's, the hub's and onnxruntime's by moclip itself"
        )
    return Finding("telemetry", "missing", "DVC's is on", "dvc config core.analytics false")


def _git(root: Path) -> Finding:
    from moclip.base.errors import MoclipError
    from moclip.tracking.provenance import git_state

    try:
        state = git_state(root)
    except MoclipError as error:
        found = " ".join(str(error).split())
        return Finding("git", "missing", found, _advice(found) or "see Git's own words")
    if state is None:
        return Finding("git", "ok", "no repository or no commit: results will name none")
    changed = f", {len(state.changed)} tracked files changed since" if state.dirty else ""
    return Finding("git", "ok", f"commit {state.commit[:10]}{changed}")


def _advice(words: str) -> str:
    """The command that Git itself names as the remedy."""
    found = re.search(r"git config --global --add safe\.directory (?:'[^']+'|[^\s;]+)", words)
    return found[0] if found else ""


def _tracking(places: Places) -> Finding:
    from moclip.base.errors import StoreError
    from moclip.tracking.store import VARIABLE, store_at
    from moclip.tracking.upkeep.health import faults

    root = places.params.parent.resolve()
    try:
        store = store_at(root, os.environ.get(VARIABLE))
    except StoreError as error:
        return Finding("tracking", "missing", str(error), f"correct {VARIABLE}, or unset it")
    found = list(faults(store, root / places.work / "unrecorded"))
    if found:
        return Finding("tracking", "missing", "; ".join(words for words, _ in found), found[0][1])
    return Finding("tracking", "ok", f"MLflow in {store.shown}")


def _conflict(root: Path) -> Finding | None:
    """A file of the pipeline that Git has merged and left with both sides in it."""
    names = (PLACES.params.name, PLACES.graph, *PLACES.locks)
    torn = [name for name in names if (root / name).is_file() and _is_torn(root / name)]
    if not torn:
        return None
    found = f"{', '.join(torn)}: a merge conflict"
    if by_hand := [name for name in torn if name not in PLACES.locks]:
        return Finding("stages", "missing", found, f"edit {by_hand[0]}, then git add it")
    # What DVC writes itself; the graph and the parameters say what it is about.
    locks = " ".join(torn)
    taken = f"git checkout --ours {locks}" if _has_sides(root, torn) else f"rm {locks}"
    return Finding("stages", "missing", found, f"{taken} && dvc repro && git add {locks}")


def _has_sides(root: Path, names: Sequence[str]) -> bool:
    """Whether Git still holds our side of each; once they are added, signs and all, it does not."""
    words = ["git", "-C", str(root), "ls-files", "--unmerged", "--", *names]
    try:
        rows = subprocess.run(words, check=False, capture_output=True, text=True).stdout.splitlines()
    except OSError:
        return False
    return {row.partition("\t")[2] for row in rows if row.split()[2] == "2"} == set(names)


def _is_torn(path: Path) -> bool:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return any(line.startswith("<<<<<<< ") for line in lines) and any(line.startswith(">>>>>>> ") for line in lines)


def _state(dvc_config: Path) -> Finding:
    """Whether another user of the machine could put something into the folder that DVC reads as code."""
    import configparser

    config = configparser.ConfigParser(interpolation=None)
    config.read([dvc_config, dvc_config.with_name("config.local")], encoding="utf-8")
    own = os.environ.get("DVC_SITE_CACHE_DIR") or config.get("core", "site_cache_dir", fallback="") or _DVC_STATE
    folder = Path(own.strip("'\"")).absolute()
    if writable := [path for path in (folder / "repo", folder, *folder.parents) if _is_open(path)]:
        found = f"DVC reads what every user of this machine may write: {writable[-1]}"
        return Finding("state", "missing", found, "make state")
    return Finding("state", "ok", f"DVC's lies where no other user may write: {folder}")


def _is_open(path: Path) -> bool:
    """Whether anybody may rename and replace what lies in a folder; the sticky bit forbids it."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return bool(mode & stat.S_IWOTH) and not mode & stat.S_ISVTX


def _parameters(path: Path) -> Finding:
    from moclip.heads.registry import check_params

    if not path.is_file():
        return Finding("parameters", "missing", f"no {path} here", "cd to the repository of moclip")
    faults = []
    try:
        check_params(_read(path))
    except Exception as error:  # of YAML, of its types, or of our rules
        faults = str(error).splitlines()
    if faults:
        return Finding("parameters", "missing", f"{path}: {'; '.join(faults)}", f"edit {path}")
    return Finding("parameters", "ok", f"{path} is valid")


def _read(params: Path) -> Any:
    from moclip.base.outside import yaml

    return yaml.load(params)


def _videos(places: Places) -> Finding:
    data = _read(places.params)["data"]
    root = places.params.parent / data["root"]
    if not places.manifest.is_file():
        return _unlisted(data, root)
    with places.manifest.open(encoding="utf-8", newline="") as rows:
        listed = [(row["path"], row.get("class", "")) for row in csv.DictReader(rows)]
    paths = [path for path, _ in listed]
    from moclip.base.errors import DataError
    from moclip.data.added import REMEDY, added_videos
    from moclip.video.file.shard import find

    try:
        absent = [path for path in paths if find(root / path) is None]
        new = [] if absent else added_videos(root, listed, data)
    except DataError as error:  # of a tar
        return Finding("videos", "missing", str(error), REMEDY)
    if absent:
        found = f"{len(absent)} of {len(paths)} videos of {places.manifest} are not in {root}, first {absent[0]}"
        return Finding("videos", "missing", found, REMEDY)
    if new:
        found = f"{len(new)} of those in {root} are not in {places.manifest}, first {new[0]}"
        return Finding("videos", "missing", found, REMEDY)
    return Finding("videos", "ok", f"{len(paths)} in {root}, as {places.manifest} lists them")


def _unlisted(data: Any, root: Path) -> Finding:
    if data["source"] == "demo" or data["archive"] in ("official", "thumos", "hub"):
        way = "generated" if data["source"] == "demo" else "downloaded"
        return Finding("videos", "todo", f"{data['source']}, not there yet; they are {way} when the pipeline runs")
    source = Path(data["archive"] or root)
    if source.exists():
        return Finding("videos", "todo", f"{data['source']}: {source} is there and not listed yet")
    return Finding("videos", "missing", f"{data['source']}: {source} is not there", f"put the videos into {source}")


def _clip(places: Places) -> Finding:
    clip = _read(places.params)["clip"]
    kept = places.clip / "meta.json"
    if kept.is_file():
        meta = json.loads(kept.read_text(encoding="utf-8"))
        made_of = meta.get("weights", "features that were given")
        return Finding("CLIP", "ok", f"{meta.get('model', 'unnamed')} in {places.clip} ({made_of})")
    if clip["model"] == "demo":
        return Finding("CLIP", "todo", "demo, not there yet; the pipeline trains it")
    if given := clip["checkpoint"] or clip["precomputed"]:
        if (places.params.parent / given).is_file():
            return Finding("CLIP", "todo", f"{given} is there, and not taken in yet")
        return Finding("CLIP", "missing", f"{given} is not there", f"bring the file {given}")
    from moclip.base.hub import cached_repositories

    cached = f"the pipeline takes it from the hub, whose cache has {', '.join(cached_repositories()) or 'nothing'}"
    weights = f" ({clip['pretrained']})" if clip["pretrained"] else ""
    return Finding("CLIP", "todo", f"{clip['model']}{weights}, not there yet; {cached}")


def _heads(places: Places) -> Finding:
    params = _read(places.params)
    wanted = [(head, split) for head in params["heads"] for split in params["splits"]]
    there = [pair for pair in wanted if (places.predictions / pair[0] / f"split{pair[1]}.npz").is_file()]
    state: State = "ok" if len(there) == len(wanted) else "todo"
    return Finding("heads", state, f"{len(there)} of {len(wanted)} have predictions")


def _report(places: Places) -> Finding:
    if not places.report.is_file():
        return Finding("report", "todo", f"no {places.report} yet")
    if not any(places.predictions.glob("*/split*.npz")):
        return Finding("report", "todo", f"{places.report} came with the repository; nothing has run here yet")
    return Finding("report", "ok", str(places.report))


def _stages(process: "subprocess.Popen[str]") -> Finding:
    stale, complaint = _answer(process)
    if stale is None and re.search(r"(?i)unable to acquire lock|is busy|is locked by", complaint):
        return Finding("stages", "todo", "another DVC command is at work")
    if stale is None:
        return Finding("stages", "missing", f"their state is unknown ({complaint})", "dvc status")
    if not stale:
        return Finding("stages", "ok", "all are up to date")
    first = [f"{name} ({why[0]}{', and more' if len(why) > 1 else ''})" for name, why in stale.items()][:_STAGES_SHOWN]
    more = f" and {len(stale) - len(first)} more" if len(stale) > len(first) else ""
    return Finding("stages", "todo", f"{len(stale)} to run: {', '.join(first)}{more}")
