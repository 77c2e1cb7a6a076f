"""One-time keys from a quorum: to wrap, every node's proof is verified before a key is used; to unwrap, the
commitment beside the ciphertext tells, and where there is none the proofs do."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .answers import Answer
from .asking import Asking, Collection, Report
from .decrypting import Opened
from .dleq import verify_partials
from .errors import CiphertextError, CodecError
from .request import NONCE_BYTES, WrappedHead
from .sharing import combine
from .wrap import CommitmentError, OneTimeKey, Scope


@dataclass(frozen=True)
class Asked:
    """A one-time key that is asked for, and what else it is bound to."""

    header: bytes
    nonce: bytes

    @classmethod
    def fresh(cls, header: bytes) -> Asked:
        return cls(header, secrets.token_bytes(NONCE_BYTES))


@dataclass(frozen=True)
class Committed:
    """A ciphertext that waits for its one-time key."""

    head: WrappedHead

    @property
    def asked(self) -> Asked:
        return Asked(self.head.header, self.head.nonce)


class _Unproved:
    """Takes any answer: whether it is right, the commitment in the ciphertext tells."""

    def length(self, items: int) -> int:
        return items

    def takes(self, node: int, request: bytes, answer: Answer) -> bool:
        return True

    def bad_items(self) -> dict[int, CiphertextError]:
        return {}  # every nonce is good: who calls one invalid lies


class _Proved(_Unproved):
    """Takes proven answers only."""

    def __init__(self, asking: Asking, scope: Scope, asked: Sequence[Asked]):
        self.asking = asking
        self.points = [scope.point(one.nonce) for one in asked]

    def takes(self, node: int, request: bytes, answer: Answer) -> bool:
        statement = self.asking.statement(node, request)
        if answer.proof is None or statement is None:
            return False
        return verify_partials(*statement, self.points, answer.partials, answer.proof)


def one_time_keys(asking: Asking, asked: Sequence[Asked], label: bytes) -> tuple[list[OneTimeKey], Report]:
    """Keys that may be sealed under: of nodes that have all proved their part."""
    scope = _scope(asking, label)
    judge = _Proved(asking, scope, asked)
    answers = _collection(asking, asked, label, judge, prove=True).gather()
    keys = [_combine(asking, scope, one, at, answers) for at, one in enumerate(asked)]
    return keys, asking.report(answers)


def unwrap(asking: Asking, items: Sequence[Committed], label: bytes) -> tuple[Opened, Report]:
    """Payload keys. Asks without proofs; if one is not what its ciphertext commits to, once more with."""
    scope, asked = _scope(asking, label), [item.asked for item in items]
    fast = _collection(asking, asked, label, _Unproved()).gather()
    opened = _open(asking, scope, items, fast)
    if not any(isinstance(one, CiphertextError) for one in opened):
        return opened, asking.report(fast)
    # Either a ciphertext is bad, or a node lied.
    judge = _Proved(asking, scope, asked)
    proved = _collection(asking, asked, label, judge, prove=True).gather(set(fast))
    asking.name_turncoats(fast, proved)
    return _open(asking, scope, items, proved), asking.report(proved)


def _scope(asking: Asking, label: bytes) -> Scope:
    return Scope(asking.fingerprint, asking.key.name, asking.key.version, label)


def _collection(
    asking: Asking, asked: Sequence[Asked], label: bytes, judge: _Unproved, *, prove: bool = False
) -> Collection:
    return Collection(asking, "wrap", label, [one.nonce for one in asked], judge, prove=prove)


def _combine(
    asking: Asking, scope: Scope, asked: Asked, at: int, answers: Mapping[int, Answer]
) -> OneTimeKey:
    shared = combine({i: a.partials[at] for i, a in answers.items()}, asking.key.threshold)
    return scope.one_time_key(asked.header, asked.nonce, shared)


def _open(asking: Asking, scope: Scope, items: Sequence[Committed], answers: Mapping[int, Answer]) -> Opened:
    opened = Opened()
    for at, item in enumerate(items):
        try:
            key = _combine(asking, scope, item.asked, at, answers)
            opened.append(key.committed(item.head.commitment))
        except (CodecError, CommitmentError):
            opened.append(
                CiphertextError(
                    "the ciphertext was changed, or sealed under another encryption context or another key"
                )
            )
    return opened
