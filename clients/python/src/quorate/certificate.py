"""The proofs that an epoch stands, and a key that was verified from the pinned fingerprint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .edwards import EdwardsPoint, verify_ed25519
from .errors import (
    CertificateError,
    CodecError,
    OrderError,
    SignatureError,
    UnknownRosterError,
    WrongPurposeError,
)
from .group import Point
from .hashing import verify
from .orders import Committee, VerifiedOrder, verify_order
from .roster import Cluster
from .sharing import verifying_key
from .wire import (
    MAX_COMMITTEE,
    PURPOSES,
    SUITES,
    Epoch,
    NodeSignature,
    Reader,
    Signed,
    listed,
    prefixed,
    purpose_code,
    read_node_signatures,
    suite_code,
    u8,
    u16,
    u32,
)


@dataclass(frozen=True)
class EpochPublic:
    """The public values of one epoch: what receipts and active signatures speak of."""

    fingerprint: bytes
    key: str
    version: int
    suite: str
    purpose: str
    epoch: Epoch
    parent: Epoch | None
    context: bytes
    order: bytes
    committee: Committee
    commitments: tuple[bytes, ...]

    @classmethod
    def read(cls, r: Reader) -> EpochPublic:
        public = cls(
            r.hash32("fingerprint"),
            r.key_name(),
            r.key_version(),
            r.word(SUITES, "suite"),
            r.word(PURPOSES, "purpose"),
            r.epoch(),
            r.option("parent epoch", lambda r: r.epoch()),
            r.hash32("context"),
            r.hash32("order"),
            Committee.read(r),
            tuple(r.many(MAX_COMMITTEE, "commitments", lambda r: r.take(32, "commitment"))),
        )
        t, got = public.committee.threshold, len(public.commitments)
        if got != t:
            raise CodecError(f"commitments: expected exactly {t} for threshold {t}, got {got}")
        if public.parent is not None and public.parent.number >= public.epoch.number:
            raise CodecError("parent epoch: must be below the epoch itself")
        return public

    def body(self) -> bytes:
        parent = u8(0) if self.parent is None else u8(1) + self.parent.to_bytes()
        return (
            self.fingerprint
            + prefixed(self.key.encode())
            + u32(self.version)
            + suite_code(self.suite)
            + purpose_code(self.purpose)
            + self.epoch.to_bytes()
            + parent
            + self.context
            + self.order
            + self.committee.to_bytes()
            + listed(self.commitments)
        )

    def count_valid(self, label: str, signatures: Sequence[NodeSignature]) -> int:
        """How many members of the committee signed; each once, by the order of the list."""
        data = b"QEPO" + u16(2) + self.body()
        return sum(
            (identity := self.committee.identity(s.node)) is not None
            and verify(identity, label, self.fingerprint, data + u16(s.node), s.signature)
            for s in signatures
        )


@dataclass(frozen=True)
class KeyRecord:
    """All that proves an epoch in force; nothing is verified yet."""

    order: Signed
    public: EpochPublic
    receipts: tuple[NodeSignature, ...]
    actives: tuple[NodeSignature, ...]

    @classmethod
    def read(cls, r: Reader) -> KeyRecord:
        return cls(
            Signed.read(r),
            EpochPublic.read(r),
            read_node_signatures(r, "receipts"),
            read_node_signatures(r, "active signatures"),
        )

    @classmethod
    def parse(cls, data: bytes) -> KeyRecord:
        r = Reader(data)
        r.kind("QKEY", 2)
        record = cls.read(r)
        r.finish()
        return record

    def body(self) -> bytes:
        def signatures(some: Sequence[NodeSignature]) -> bytes:
            return listed([s.to_bytes() for s in some])

        return (
            self.order.to_bytes() + self.public.body() + signatures(self.receipts) + signatures(self.actives)
        )

    def verify(self, cluster: Cluster) -> VerifiedOrder:
        """`m` operators ordered exactly this; `q` members hold it, and `q` have signed it active."""
        try:
            order = verify_order(cluster, self.order)
        except UnknownRosterError:
            raise
        except (CodecError, OrderError) as error:
            raise CertificateError(f"the order that made the key: {error}") from None
        self._match(order)
        for what, label, signatures in (
            ("receipts", "sig/receipt.", self.receipts),
            ("the epoch active", "sig/active.", self.actives),
        ):
            got = self.public.count_valid(label, signatures)
            if got < order.terms.q:
                raise CertificateError(f"{got} of {order.terms.q} nodes have validly signed {what}")
        return order

    def _match(self, order: VerifiedOrder) -> None:
        """In every field that the order states; the fingerprint is the order's and the cluster's."""
        p, terms = self.public, order.terms
        checks = (
            ("order", p.order == order.hash),
            ("key name or version", p.key == terms.name and terms.allows_version(p.version)),
            ("suite or purpose", (p.suite, p.purpose) == (terms.suite, terms.purpose)),
            ("committee or threshold", p.committee == terms.committee),
            ("epoch number", terms.allows_number(p.epoch.number)),
            ("parent epoch", (p.parent is None) == terms.is_birth),
            ("public key", terms.public_key in (None, p.commitments[0])),
        )
        for what, good in checks:
            if not good:
                raise CertificateError(f"the {what} in the certificate is not what the operators ordered")


class Key:
    """One version of a key, verified. Its epoch is the one in force, as far as it is known here."""

    def __init__(self, cluster: Cluster, birth: KeyRecord, newest: KeyRecord | None):
        order = birth.verify(cluster)
        if birth.public.fingerprint != cluster.fingerprint:
            raise CertificateError("the cluster in the certificate is not what the operators ordered")
        if not order.terms.is_birth:
            raise CertificateError("expected a birth certificate, got one of a later epoch")
        self.birth, self.newest = birth, newest
        self.imported = order.terms.dealer is not None
        """Whether its owner had it before, and may have it still."""
        if newest is not None:
            newest.verify(cluster)
            b, n = birth.public, newest.public
            same = (b.fingerprint, b.key, b.version, b.suite, b.purpose, b.commitments[0])
            if same != (n.fingerprint, n.key, n.version, n.suite, n.purpose, n.commitments[0]):
                raise CertificateError("the newer epoch is of another key")
            if n.epoch == b.epoch:
                self.newest = None
        self.public = (newest or birth).public
        # Over the group of the suite; of the other one the list is empty.
        self.commitments: list[Point] = []
        self.edwards: list[EdwardsPoint] = []
        try:
            if self.public.suite == "frost-ed25519":
                self.edwards = [EdwardsPoint.decode(c, "commitment") for c in self.public.commitments]
            else:
                self.commitments = [Point.decode(c, "commitment") for c in self.public.commitments]
        except CodecError as error:
            raise CertificateError(str(error)) from None

    @property
    def name(self) -> str:
        return self.public.key

    @property
    def version(self) -> int:
        return self.public.version

    @property
    def purpose(self) -> str:
        return self.public.purpose

    @property
    def public_key(self) -> bytes:
        return self.public.commitments[0]

    @property
    def epoch(self) -> Epoch:
        return self.public.epoch

    @property
    def committee(self) -> Committee:
        return self.public.committee

    @property
    def threshold(self) -> int:
        return self.public.committee.threshold

    def verifying_key(self, node: int) -> Point:
        """`Y_i` of a node in this epoch, of a key over ristretto255."""
        return verifying_key(self.commitments, node)

    def verify_signature(self, message: bytes, signature: bytes) -> None:
        """Verifies an Ed25519 signature of this key, strictly; needs nobody. Else `SignatureError`."""
        self.must_allow("sign")
        if len(signature) != 64:
            raise SignatureError(f"a signature has 64 bytes, got {len(signature)}")
        if not verify_ed25519(self.public_key, message, signature):
            raise SignatureError(
                f"the signature does not verify for this message under key {self.name} version {self.version}"
            )

    def must_allow(self, operation: str) -> None:
        if self.purpose != operation:
            raise WrongPurposeError(
                f"refused: key {self.name} is to {self.purpose} and nothing else; it cannot {operation}"
            )

    def must_seal(self) -> None:
        """Refuses a key under which nothing can be encrypted."""
        if self.purpose not in ("decrypt", "wrap"):
            raise WrongPurposeError(
                f"refused: key {self.name} is to {self.purpose} and nothing else; it cannot encrypt or wrap"
            )

    def __repr__(self) -> str:
        return f"Key({self.name} version {self.version}, epoch {self.epoch})"
