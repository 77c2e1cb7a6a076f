"""Where the project's test vectors are, and how they are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
VECTORS = ROOT / "docs/protocol/vectors"
SNAPSHOTS = ROOT / "crates/quorate-types/tests/snapshots"


def load(name: str) -> Any:
    return json.loads((VECTORS / f"{name}.json").read_text())


def snapshot(name: str) -> bytes:
    return bytes.fromhex("".join((SNAPSHOTS / f"{name}.hex").read_text().split()))


def unhex(values: list[str]) -> list[bytes]:
    return [bytes.fromhex(v) for v in values]
