"""From ciphertext heads to payload keys: ask a quorum, combine, and if that fails find out who lied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from . import tdh2
from .answers import Answer
from .asking import Asking, BadItems, Collection, Report
from .certificate import Key
from .errors import CiphertextError, CodecError
from .request import EncryptedHead, encode_context


@dataclass(frozen=True)
class Item:
    """One ciphertext's head, parsed."""

    head: EncryptedHead
    kem: tdh2.Encapsulation

    @classmethod
    def of(cls, head: EncryptedHead) -> Item:
        try:
            return cls(head, tdh2.Encapsulation.parse(head.kem))
        except CodecError as error:
            raise CiphertextError(f"the ciphertext was changed: {error}") from None

    def diagnose(self, binding: tdh2.Binding, label: bytes) -> CiphertextError | None:
        """Why the head does not verify under this key and context; `None` if it does."""
        if tdh2.verify(binding, label, self.head.header, self.kem):
            return None
        none = encode_context(None)
        if label != none and tdh2.verify(binding, none, self.head.header, self.kem):
            return CiphertextError(
                "the ciphertext was sealed without an encryption context, but one is given: omit it"
            )
        return CiphertextError(
            "the ciphertext was changed, or sealed under another encryption context or another key"
        )


def binding_of(key: Key) -> tdh2.Binding:
    return tdh2.Binding(key.public.fingerprint, key.name, key.version, key.public_key)


@dataclass(frozen=True)
class Opening:
    """Ciphertexts of one key on their way, under one context."""

    items: Sequence[Item]
    label: bytes

    @property
    def wire(self) -> list[bytes]:
        return [item.head.raw for item in self.items]

    def bad_items(self, key: Key) -> dict[int, CiphertextError]:
        binding = binding_of(key)
        found = {at: item.diagnose(binding, self.label) for at, item in enumerate(self.items)}
        return {at: error for at, error in found.items() if error is not None}


class _Unproved:
    """Takes any answer: whether it is right, the commitment in the ciphertext tells."""

    def __init__(self, asking: Asking, opening: Opening):
        self.asking, self.opening = asking, opening

    def length(self, items: int) -> int:
        return items

    def takes(self, node: int, request: bytes, answer: Answer) -> bool:
        return True

    def bad_items(self) -> dict[int, CiphertextError]:
        return self.opening.bad_items(self.asking.key)


class _Proved(_Unproved):
    """Takes an answer only if its node proves it."""

    def takes(self, node: int, request: bytes, answer: Answer) -> bool:
        statement = self.asking.statement(node, request)
        if answer.proof is None or statement is None:
            return False
        kems = [item.kem for item in self.opening.items]
        return tdh2.verify_partials(*statement, kems, answer.partials, answer.proof)


Opened = list[bytes | CiphertextError]


def decrypt(asking: Asking, opening: Opening) -> tuple[Opened, Report]:
    """Payload keys. Asks without proofs; if one is not what its ciphertext commits to, once more with."""
    label, wire = opening.label, opening.wire
    fast = Collection(asking, "decrypt", label, wire, _Unproved(asking, opening)).gather()
    try:
        return _combine(asking.key, opening, fast), asking.report(fast)
    except tdh2.CommitmentError:
        pass
    # Either a ciphertext is bad, or a node lied.
    bad = opening.bad_items(asking.key)
    if bad:
        raise BadItems(bad)
    proved = Collection(asking, "decrypt", label, wire, _Proved(asking, opening), prove=True).gather(
        set(fast)
    )
    asking.name_turncoats(fast, proved)
    return _combine(asking.key, opening, proved, proved=True), asking.report(proved)


def _combine(key: Key, opening: Opening, answers: Mapping[int, Answer], *, proved: bool = False) -> Opened:
    """`CommitmentError` if one does not fit; if the partials are proved, its ciphertext was badly made."""
    binding, opened = binding_of(key), Opened()
    for at, item in enumerate(opening.items):
        partials = {i: a.partials[at] for i, a in answers.items()}
        try:
            opened.append(
                tdh2.open_kem(binding, opening.label, item.head.header, item.kem, partials, key.threshold)
            )
        except tdh2.CommitmentError:
            if not proved:
                raise
            opened.append(
                CiphertextError("the ciphertext was badly made: its proof holds, but no key opens it")
            )
        except CiphertextError as error:
            opened.append(error)
    return opened
