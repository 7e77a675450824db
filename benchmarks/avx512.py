"""Whether a processor with AVX-512 gives the recorded digits: an emulated one that claims it and has it not.

    python -m benchmarks.avx512

A copy of qemu-user's emulator is told to claim AVX-512. Whoever trusts the claim dies on the first such instruction.
With all pins of `moclip.base.arithmetic`, the fingerprint must be the recorded one; with one pin left out, the process
must end by that instruction, or give other digits. Writes benchmarks/avx512.md.
"""

import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from moclip.base.arithmetic import AVX2, ONE_THREAD
from moclip.base.errors import DataError
from moclip.base.files import read_json, write_text

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "benchmarks" / "avx512.md"
EMULATOR = "qemu-x86_64"
# Bits of EBX of leaf 7 of CPUID.
CLAIMED = sum(1 << bit for bit in (16, 17, 28, 30, 31))  # AVX-512 F, DQ, CD, BW and VL
EMULATED = sum(1 << bit for bit in (0, 3, 5, 7, 9, 19, 20, 22, 23, 24))  # FSGSBASE, BMI1, AVX2, SMEP and on to CLWB
LACKING = sum(1 << bit for bit in (4, 10, 11, 12)) | CLAIMED  # HLE, INVPCID, RTM, PQM, and what is to be claimed
# What glibc and OpenSSL would take of the claim is no matter of the pins.
OTHERS = {
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW,-AVX512DQ,-AVX512CD",
    "OPENSSL_ia32cap": ":~0xd0030000",
}
CODE = "from moclip.report.fingerprint import fingerprint; import json; print(json.dumps(fingerprint()))"
SPOKEN = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_CBWR", "OPENBLAS_CORETYPE", "NPY_DISABLE_CPU_FEATURES")


def claiming(emulator: Path, copy: Path) -> Path:
    """Write a copy of the emulator whose list of emulated features holds AVX-512 too.

    Raises:
        DataError: the one word of that list is not found; this is another version than was tried (7.2).
    """
    content = bytearray(emulator.read_bytes())
    words = [
        place
        for place in range(0, len(content) - 7, 8)
        if (word := struct.unpack_from("<Q", content, place)[0]) < 1 << 32
        and word & EMULATED == EMULATED
        and not word & LACKING
    ]
    if len(words) != 1:
        raise DataError(f"{emulator}: {len(words)} words could be the list of emulated features; qemu 7.2 has one")
    struct.pack_into("<Q", content, words[0], struct.unpack_from("<Q", content, words[0])[0] | CLAIMED)
    copy.write_bytes(content)
    copy.chmod(0o755)
    return copy


def ask(emulator: Path, pins: Mapping[str, str]) -> dict[str, str] | int:
    """The fingerprint on the claiming processor, or the signal that ended the process."""
    rest = {name: value for name, value in os.environ.items() if name not in {**ONE_THREAD, **AVX2}}
    words = [str(emulator), "-cpu", "Skylake-Server", sys.executable, "-c", CODE]
    done = subprocess.run(words, check=False, env={**rest, **OTHERS, **pins}, cwd=ROOT, capture_output=True, text=True)
    if done.returncode == 0:
        digests: dict[str, str] = json.loads(done.stdout)
        return digests
    if done.returncode < 0:
        return -done.returncode
    raise DataError(f"the fingerprint failed: {done.stderr[-400:]}")


def outcome(found: dict[str, str] | int, recorded: Mapping[str, str]) -> str:
    """What came out, in words."""
    if isinstance(found, int):
        return f"ended by {signal.Signals(found).name}"
    other = [name for name, digest in recorded.items() if found[name] != digest]
    return f"other digits: {', '.join(other)}" if other else "the recorded digits"


def main() -> None:
    """Ask with all pins, and without each; print the outcomes and write the page."""
    emulator = shutil.which(EMULATOR)
    if emulator is None:
        raise DataError(f"{EMULATOR} is not installed; Debian has it in the package qemu-user")
    recorded = read_json(ROOT / "reports/fingerprint.json")["digests"]
    pins = {**ONE_THREAD, **AVX2}
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        copy = claiming(Path(emulator), Path(folder) / EMULATOR)
        for left_out in (None, *SPOKEN):
            found = ask(copy, {name: value for name, value in pins.items() if name != left_out})
            rows.append([left_out or "none", outcome(found, recorded)])
            print(*rows[-1], sep=": ", flush=True)
    version = subprocess.run([emulator, "--version"], check=True, capture_output=True, text=True).stdout.split("\n")[0]
    head = (
        "# A processor that claims AVX-512\n\nThe fingerprint by `python -m benchmarks.avx512`, on " + version + ".\n\n"
    )
    write_text(
        PAGE,
        head + "\n".join(["| pin left out | outcome |", "| --- | --- |", *(f"| {a} | {b} |" for a, b in rows)]) + "\n",
    )


if __name__ == "__main__":
    main()
