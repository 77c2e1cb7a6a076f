"""From blinded inputs to secrets: every node proves its partials, and only verified ones are combined."""

from __future__ import annotations

from .answers import Answer
from .asking import Asking, Collection, Report
from .certificate import Key
from .errors import CiphertextError
from .group import Point
from .voprf import Batch


class _Proofs:
    """Takes proven answers only, and keeps what it has verified."""

    def __init__(self, key: Key, batch: Batch):
        self.key, self.batch = key, batch
        self.verified: dict[int, list[Point]] = {}

    def length(self, items: int) -> int:
        return items

    def takes(self, node: int, request: bytes, answer: Answer) -> bool:
        public = self.key.verifying_key(node)
        if public.is_identity():
            return False
        points = self.batch.verify(public, answer.partials, answer.proof)
        if points is None:
            return False
        self.verified[node] = points
        return True

    def bad_items(self) -> dict[int, CiphertextError]:
        return {}  # elements are made here: who calls one invalid lies


def derive(asking: Asking, batch: Batch, label: bytes) -> tuple[list[bytes], Report]:
    proofs = _Proofs(asking.key, batch)
    answers = Collection(asking, "derive", label, batch.elements, proofs, prove=True).gather()
    verified = {i: proofs.verified[i] for i in answers}
    return batch.finalize(verified, asking.key.threshold), asking.report(answers)
