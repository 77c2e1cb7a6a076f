"""The client: keys verified from the pinned fingerprint; encryption, decryption and derivation by quorum.

It believes no coordinator and no single node. A liar is named and left out, others are asked.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol, TypeVar

from . import stream, tdh2
from .answers import (
    BUSY,
    INVALID_ITEM,
    ITEMS_MISMATCH,
    NO_SHARE,
    REASONS,
    Answer,
    AnswerBook,
    Expected,
    Refusal,
    Unverified,
)
from .certificate import Key, KeyRecord
from .errors import (
    CertificateError,
    CiphertextError,
    CodecError,
    InvalidError,
    NoQuorumError,
    PartyError,
    QuorateError,
    RefusedError,
    RosterError,
    UnknownKeyError,
    UnknownRosterError,
    VerificationError,
)
from .group import Point
from .home import Home, Pin
from .request import (
    MAX_HEAD,
    Head,
    SignedRequest,
    encode_context,
    encode_header,
    partial_context,
    sign_request,
)
from .roster import Cluster, parse_signed_roster
from .transport import Coordinator, printable
from .v1 import client_pb2, types_pb2
from .voprf import Batch, private_input
from .wire import check_key_name

T = TypeVar("T")
Context = Mapping[str, str] | None

#: One operation at one coordinator, in seconds.
TIMEOUT = 10.0
MAX_TTL = 60_000
MAX_ROUNDS = 70
MAX_ALSO = 8
#: How often a call follows shares that move meanwhile.
MAX_MOVES = 4
MAX_KEYS = 1024
#: Inputs in one request: what a node answers is verified within seconds, slow as Python is.
MAX_BATCH = 256


class Link(Protocol):
    """A way to one coordinator. Whatever comes from it is hostile until it verifies."""

    party: str

    def call(self, method: str, request, answer, timeout: float): ...  # type: ignore[no-untyped-def]


@dataclass
class Report:
    """What an operation took: who answered, and who lied, by index."""

    nodes: list[int] = field(default_factory=list)
    liars: list[int] = field(default_factory=list)


class _Moved(Exception):
    """Too few nodes serve the epoch that is known here, and some say that the shares have moved."""

    def __init__(self, error: QuorateError):
        super().__init__(str(error))
        self.error = error


class Judge(Protocol):
    """Says what an answer is worth."""

    def takes(self, node: int, request: bytes, answer: Answer) -> bool:
        """Whether the node's answer is taken. If not, the node lies: it sealed it itself."""

    def bad_item(self) -> CiphertextError | None:
        """Whether an item deserves to be called invalid. A node that calls one so lies otherwise."""


class Client:
    """A client of one cluster. Calls block; one client may serve several threads."""

    def __init__(
        self,
        home: Home,
        *,
        timeout: float = TIMEOUT,
        links: Sequence[Link] | None = None,
        clock: Callable[[], float] = time.time,
    ):
        if not 0 < timeout <= MAX_TTL / 1000:
            raise InvalidError("the timeout is more than 0 and at most 60 seconds")
        self._home, self._cluster, self._timeout, self._clock = home, home.cluster, timeout, clock
        self._answers = AnswerBook(home.identity.public)
        self._given = links is not None
        self._links: list[Link] = list(links) if links is not None else self._coordinators()
        self._keys: dict[tuple[str, int], Key] = {}
        self._roster_asked = False

    @classmethod
    def open(
        cls, home: str | os.PathLike[str], *, passphrase: bytes | None = None, timeout: float = TIMEOUT
    ) -> Client:
        """The client of a home directory of `quorate`. Opens no connection yet."""
        return cls(Home(home, passphrase), timeout=timeout)

    def close(self) -> None:
        for link in self._links:
            if isinstance(link, Coordinator):
                link.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self._home.identity.public.hex()[:16]}…)"

    @property
    def cluster(self) -> Cluster:
        return self._cluster

    def _coordinators(self) -> list[Link]:
        roster, identity = self._cluster.roster, self._home.identity
        keys = {c.tls_key: c.name for c in roster.coordinators}
        if self._home.coordinators:
            return [Coordinator(f"coordinator {a}", a, keys, identity) for a in self._home.coordinators]
        return [Coordinator(c.name, c.endpoint, {c.tls_key: c.name}, identity) for c in roster.coordinators]

    # --- what is believed, and how it comes to be ----------------------------------------------

    def _each(self, work: Callable[[Link], T]) -> T:
        """Has one coordinator do it; goes on to another if one fails or cheats."""
        worst: QuorateError | None = None
        for link in list(self._links):
            try:
                done = work(link)
            except QuorateError as error:
                if not error.elsewhere:
                    raise
                if worst is None or worst.weight < error.weight:
                    worst = error
                continue
            if link in self._links:  # next time it is asked first
                self._links = [link, *(other for other in self._links if other is not link)]
            return done
        raise worst or InvalidError("no coordinator is known: the roster names none")

    def refresh_roster(self) -> None:
        """Fetches the roster chain; keeps it if it is longer than what is known."""
        self._each(self._refresh_roster_from)

    def _refresh_roster_from(self, link: Link) -> None:
        request = client_pb2.GetRosterRequest(version=types_pb2.ProtocolVersion(major=1, minor=0))
        answer = link.call("GetRoster", request, client_pb2.GetRosterResponse, self._timeout)
        if answer.HasField("version") and answer.version.major != 1:
            raise PartyError(link.party, f"speaks version {answer.version.major} of the protocol, expected 1")
        if not answer.rosters:
            return
        try:
            newer = self._cluster.extended([parse_signed_roster(data) for data in answer.rosters])
        except (CodecError, RosterError) as error:
            raise VerificationError(
                link.party, f"sent a roster chain that does not verify: {error}"
            ) from None
        if newer is not None:
            self._home.write_roster(newer)
            self._cluster = newer
            if not self._given:
                self.close()
                self._links = self._coordinators()

    def key(self, name: str, version: int | None = None) -> Key:
        """A version of a key (the newest), verified and pinned.

        If nobody can be reached, the newest pinned version: encryption needs nobody.
        """
        check_key_name(name)
        if version is not None:
            known = self._keys.get((name, version)) or self._pinned(name, version)
            return known or self._fetch(name, version)
        try:
            return self._fetch(name, None)
        except PartyError:
            newest = self._home.newest_pin(name)
            key = None if newest is None else self._pinned(name, newest)
            if key is None:
                raise
            return key

    def _fetch(self, name: str, version: int | None) -> Key:
        if not self._roster_asked:
            try:
                self.refresh_roster()
                self._roster_asked = True
            except PartyError:
                pass  # an outage for what comes next too, and told there
        return self._each(lambda link: self._fetch_from(link, name, version, fresh=False))

    def _fetch_from(self, link: Link, name: str, version: int | None, *, fresh: bool) -> Key:
        request = client_pb2.GetKeyRequest(name=name, version=version or 0, fresh=fresh)
        try:
            answer = link.call("GetKey", request, client_pb2.GetKeyResponse, self._timeout)
        except PartyError as error:
            if error.not_found:
                raise UnknownKeyError(name, version) from None
            raise
        try:
            birth = KeyRecord.parse(answer.record)
            newest = KeyRecord.parse(answer.newest) if answer.newest else None
            try:
                key = Key(self._cluster, birth, newest)
            except UnknownRosterError:
                self._refresh_roster_from(link)
                key = Key(self._cluster, birth, newest)
        except (CodecError, CertificateError, UnknownRosterError) as error:
            raise VerificationError(
                link.party, f"sent a record of key {name} that does not verify: {error}"
            ) from None
        if key.name != name or version not in (None, key.version):
            raise VerificationError(
                link.party,
                f"was asked for key {name} and sent the record of {key.name} version {key.version}",
            )
        return self._pin(link.party, key, is_newest=version is None)

    def _pin(self, party: str, key: Key, *, is_newest: bool) -> Key:
        """A pin never changes, nor does the newest version or the epoch in force go back."""
        seen = self._home.newest_pin(key.name)
        if is_newest and seen is not None and seen > key.version:
            raise VerificationError(
                party,
                f"says that version {key.version} of key {key.name} is the newest, but {seen} is pinned",
            )
        pin = self._home.pin(key.name, key.version)
        if pin is not None:
            if pin.public != key.public_key:
                raise VerificationError(
                    party,
                    f"sent another public key for {key.name} version {key.version} than the pinned one",
                )
            if pin.number >= key.epoch.number:
                return self._pinned(key.name, key.version) or self._keep(key)
        self._home.put_pin(Pin(key.public_key, key.birth, key.newest))
        return self._keep(key)

    def _pinned(self, name: str, version: int) -> Key | None:
        """A pinned key, verified again: a file is not believed for lying on our disk."""
        pin = self._home.pin(name, version)
        if pin is None:
            return None
        try:
            key = Key(self._cluster, pin.birth, pin.newest)
        except (CertificateError, UnknownRosterError) as error:
            raise VerificationError("the pin file", f"of key {name} does not verify: {error}") from None
        if (key.name, key.version, key.public_key) != (name, version, pin.public):
            raise VerificationError("the pin file", f"of {name} disagrees with itself")
        return self._keep(key)

    def _keep(self, key: Key) -> Key:
        if len(self._keys) >= MAX_KEYS:
            self._keys.clear()
        self._keys[key.name, key.version] = key
        return key

    # --- encryption ----------------------------------------------------------------------------

    def encrypt(self, key: str, plaintext: bytes, context: Context = None) -> bytes:
        """Encrypts to the newest version of a key. The same context is needed to decrypt."""
        out = io.BytesIO()
        self.encrypt_stream(key, io.BytesIO(plaintext), out, context)
        return out.getvalue()

    def encrypt_stream(
        self, key: str, reader: stream.Source, writer: BinaryIO, context: Context = None
    ) -> int:
        """Encrypts a stream of any size in constant memory; gives the bytes that were read."""
        label, public = encode_context(context), self.key(key)
        public.must_allow("decrypt")
        header = encode_header(self._cluster.fingerprint, public.name, public.version)
        kem, payload_key = tdh2.encapsulate(self._binding(public), label, header)
        writer.write(header + kem)
        return stream.seal(payload_key, reader, writer)

    def _binding(self, key: Key) -> tdh2.Binding:
        return tdh2.Binding(self._cluster.fingerprint, key.name, key.version, key.public_key)

    # --- decryption ----------------------------------------------------------------------------

    def decrypt(self, ciphertext: bytes, context: Context = None) -> bytes:
        """Decrypts; the ciphertext says itself under which key."""
        out = io.BytesIO()
        self.decrypt_stream(io.BytesIO(ciphertext), out, context)
        return out.getvalue()

    def decrypt_stream(self, reader: stream.Source, writer: BinaryIO, context: Context = None) -> Report:
        """Decrypts a stream of any size in constant memory.

        The writer gets verified plaintext only, but not the whole unless this returns: a ciphertext
        whose end is missing ends in an error. Whoever must not act on a prefix waits for the end.
        """
        label = encode_context(context)
        front = b""
        while len(front) < MAX_HEAD and (more := reader.read(MAX_HEAD - len(front))):
            front += more
        head = Head.split(front, self._cluster.fingerprint)
        try:
            kem = tdh2.Encapsulation.parse(head.kem)
        except CodecError as error:
            raise CiphertextError(f"the ciphertext was changed: {error}") from None
        try:
            key = self.key(head.key, head.version)
        except UnknownKeyError:
            raise CiphertextError(
                f"the ciphertext names key {head.key} version {head.version}, which the cluster does not "
                "have: it was changed, or the key is gone"
            ) from None
        if key.purpose != "decrypt":  # nothing is ever encrypted to such a key
            raise CiphertextError(
                f"the ciphertext was changed: it names key {key.name}, which is to {key.purpose}"
            )
        opening = _Opening(head, kem, label)
        payload_key, report = self._work(key, lambda asking: _decrypt(asking, opening))
        stream.open_stream(payload_key, _Joined(front[len(head.raw) :], reader), writer)
        return report

    # --- derivation ----------------------------------------------------------------------------

    def derive(self, key: str, data: bytes, context: Context = None, *, version: int | None = None) -> bytes:
        """64 bytes that are the same for ever, from an input that no node sees."""
        return self.derive_batch(key, [data], context, version=version)[0][0]

    def derive_batch(
        self, key: str, inputs: Iterable[bytes], context: Context = None, *, version: int | None = None
    ) -> tuple[list[bytes], Report]:
        """Secrets of many inputs under one context, in their order; and what it took. All or none."""
        label = encode_context(context)
        public = self.key(key, version)
        public.must_allow("derive")
        hashed = [private_input(label, data) for data in inputs]
        # Partials of t nodes must fit into one message of 1 MiB; one place is the check element's.
        most = min(MAX_BATCH, 28 * 1024 // public.threshold - 1)
        secrets: list[bytes] = []
        report = Report()
        for i in range(0, len(hashed), most):
            batch = Batch(hashed[i : i + most])
            more, took = self._work(public, lambda asking, batch=batch: _derive(asking, batch, label))  # type: ignore[misc]
            secrets += more
            report.nodes = sorted({*report.nodes, *took.nodes})
            report.liars = sorted({*report.liars, *took.liars})
        return secrets, report

    # --- asking a quorum -----------------------------------------------------------------------

    def _work(self, key: Key, attempt: Callable[[_Asking], T]) -> T:
        return self._each(lambda link: self._work_through(link, key, attempt))

    def _work_through(self, link: Link, key: Key, attempt: Callable[[_Asking], T]) -> T:
        """One coordinator. If the shares have moved since the key was pinned, asks under the newer epoch."""
        for _ in range(MAX_MOVES):
            try:
                return attempt(_Asking(self, link, key))
            except _Moved as moved:
                newer = self._fetch_from(link, key.name, key.version, fresh=True)
                if newer.epoch == key.epoch:
                    raise moved.error from None
                key = newer
        raise InvalidError("the shares of the key keep moving; try again")

    def _node(self, index: int) -> str:
        node = self._cluster.roster.node(index)
        return str(node) if node else f"node {index}"


class _Joined:
    """Bytes that were read ahead, then the rest of a reader."""

    def __init__(self, front: bytes, reader: stream.Source):
        self._front, self._reader = front, reader

    def read(self, size: int = -1, /) -> bytes:
        if self._front:
            size = len(self._front) if size < 0 else size
            data, self._front = self._front[:size], self._front[size:]
            return data
        return self._reader.read(size)


class _Asking:
    """One attempt: one coordinator, one epoch of a key, and who has lied so far."""

    def __init__(self, client: Client, link: Link, key: Key):
        self.client, self.link, self.key = client, link, key
        self.left = client._timeout  # seconds to wait for coordinators; our own work does not count
        self.liars: set[int] = set()

    @property
    def fingerprint(self) -> bytes:
        return self.client._cluster.fingerprint

    def report(self, nodes: Iterable[int]) -> Report:
        return Report(sorted(nodes), sorted(self.liars))

    def gather(
        self,
        operation: str,
        label: bytes,
        items: Sequence[bytes],
        judge: Judge,
        *,
        prove: bool,
        first: set[int] | None = None,
    ) -> dict[int, Answer]:
        """Answers of exactly `t` nodes of the epoch known here, however the rest behave."""
        return _Collection(self, operation, label, items, judge, prove).gather(first)


class _Collection:
    """The answers to one signed request so far."""

    def __init__(
        self, asking: _Asking, operation: str, label: bytes, items: Sequence[bytes], judge: Judge, prove: bool
    ):
        client, key = asking.client, asking.key
        self.asking, self.judge, self.items = asking, judge, list(items)
        self.signed: SignedRequest = sign_request(
            client._home.identity,
            asking.fingerprint,
            now=self._now(),
            # Of a batch, verifying takes time too before others are asked the same.
            ttl=max(1, int(client._timeout * 1000)) if len(items) == 1 else MAX_TTL,
            key=key.name,
            version=key.version,
            operation=operation,
            context=label,
            reply_key=client._answers.reply_key,
            prove=prove,
            items=self.items,
        )
        self.answers: dict[int, Answer] = {}
        self.elsewhere: set[int] = set()  # serve other epochs only
        self.refusals: dict[int, Refusal] = {}
        self.unverified: dict[int, str] = {}
        self.failures: dict[int, str] = {}

    def _now(self) -> int:
        return int(self.asking.client._clock() * 1000)

    def gather(self, first: set[int] | None) -> dict[int, Answer]:
        t, committee = self.asking.key.threshold, self.asking.key.committee.indices
        only = first
        for _ in range(MAX_ROUNDS):
            left = self._open()
            if len(self.answers) + len(left) < t:
                break
            before = len(left)
            request = client_pb2.EvaluateRequest(
                head=self.signed.head,
                signature=self.signed.signature,
                items=self.items,
                avoid=[i for i in committee if i not in left or (only is not None and i not in only)],
                want=t - len(self.answers),
            )
            if self.asking.left <= 0:
                break
            began = time.monotonic()
            reply = self.asking.link.call("Evaluate", request, client_pb2.EvaluateResponse, self.asking.left)
            self.asking.left -= time.monotonic() - began
            for answer in reply.answers[:64]:  # no more than an honest party could bring
                self._absorb(answer)
            for failure in reply.failures[:64]:
                if failure.node in committee:
                    self.failures[failure.node] = printable(failure.reason, 80)
            self._judge_refusals()
            if len(self.answers) >= t:
                return {i: self.answers[i] for i in sorted(self.answers)[:t]}
            if len(self._open()) == before and only is None:
                break
            only = None
        error = self._shortfall()
        if self.elsewhere or any(r.reason == NO_SHARE for r in self.refusals.values()):
            raise _Moved(error)
        raise error

    def _open(self) -> set[int]:
        """Members that have not spoken yet."""
        spoken = {
            *self.asking.liars, *self.refusals, *self.unverified, *self.answers, *self.elsewhere,
        }  # fmt: skip
        return {i for i in self.asking.key.committee.indices if i not in spoken}

    def _absorb(self, reply: types_pb2.NodeAnswer) -> None:
        asking, node = self.asking, reply.node
        committee = asking.key.committee
        if committee.identity(node) is None:
            if asking.client._cluster.roster.node(node) is not None:
                # In no way to be verified here: a hint that a newer record is needed.
                self.elsewhere.add(node)
            return
        if node not in self._open():
            return  # it has spoken: nobody speaks twice
        expected = Expected(asking.fingerprint, committee, self.signed.hash, self._now())
        book, other = asking.client._answers, False
        try:
            kind = reply.WhichOneof("outcome")
            if kind is None:
                return
            if kind == "refusal":
                self.refusals[node] = book.read_refusal(node, reply.refusal, expected)
                return
            # The node's answer under the known epoch, wherever it stands.
            for sealed in (reply.sealed, *reply.also[:MAX_ALSO]):
                answer = book.read_sealed(node, sealed, expected)
                if answer.epoch == asking.key.epoch:
                    self._answered(answer)
                    return
                other = True
        except Unverified as what:
            self.unverified[node] = str(what)
            return
        if other:
            self.elsewhere.add(node)

    def _answered(self, answer: Answer) -> None:
        """What the node itself sealed: if it is no answer to the question, the node lies."""
        honest = len(answer.partials) == len(self.items)
        if honest and self.judge.takes(answer.node, self.signed.hash, answer):
            self.answers[answer.node] = answer
        else:
            self.asking.liars.add(answer.node)

    def _judge_refusals(self) -> None:
        """Nodes that call an item invalid are right or lie: the item's proof can be checked here."""
        reasons = {r.reason for r in self.refusals.values()}
        if ITEMS_MISMATCH in reasons:
            raise VerificationError(
                self.asking.link.party, "changed the request's items on their way to the nodes"
            )
        if INVALID_ITEM in reasons:
            bad = self.judge.bad_item()
            if bad is not None:
                raise bad
            accusers = [i for i, r in self.refusals.items() if r.reason == INVALID_ITEM]
            for node in accusers:
                del self.refusals[node]
                self.asking.liars.add(node)

    def _shortfall(self) -> QuorateError:
        """Why there is no quorum."""
        key, client, liars = self.asking.key, self.asking.client, self.asking.liars
        t, n = key.threshold, len(key.committee.indices)
        decided = [r for r in self.refusals.values() if r.reason not in (NO_SHARE, BUSY)]
        if decided and n - len(decided) - len(liars) < t:
            counts = [r.reason for r in decided]
            reason = max(set(counts), key=lambda c: (counts.count(c), c))
            nodes = [client._node(r.node) for r in decided if r.reason == reason]
            return RefusedError(REASONS[reason], nodes, reason)
        if n - len(liars) < t:
            names = " and ".join(client._node(i) for i in sorted(liars))
            what = f"answered wrongly; fewer than {t} other nodes hold a share"
            return VerificationError(names, what, nodes=sorted(liars))
        if self.unverified and len(self.answers) + len(self.unverified) >= t:
            node, what = min(self.unverified.items())
            return VerificationError(
                self.asking.link.party, f"brought what in the name of {client._node(node)} {what}"
            )
        missing = [
            f"{client._node(i)} {self._why(i)}" for i in key.committee.indices if i not in self.answers
        ]
        return NoQuorumError(len(self.answers), t, missing)

    def _why(self, node: int) -> str:
        if node in self.asking.liars:
            return "answered wrongly"
        if node in self.refusals:
            return f"refused: {REASONS[self.refusals[node].reason]}"
        if node in self.unverified:
            return f"sent what {self.unverified[node]}"
        if node in self.elsewhere:
            return "serves another epoch"
        return self.failures.get(node, "gave no answer")


# --- decrypting --------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Opening:
    """A ciphertext's head on its way."""

    head: Head
    kem: tdh2.Encapsulation
    label: bytes

    def diagnose(self, binding: tdh2.Binding) -> CiphertextError | None:
        """Why the head does not verify under this key and context; `None` if it does."""
        if tdh2.verify(binding, self.label, self.head.header, self.kem):
            return None
        none = encode_context(None)
        if self.label != none and tdh2.verify(binding, none, self.head.header, self.kem):
            return CiphertextError(
                "the ciphertext was sealed without an encryption context, but one is given: omit it"
            )
        return CiphertextError(
            "the ciphertext was changed, or sealed under another encryption context or another key"
        )


class _Unproved:
    """Takes any answer: whether it is right, the commitment in the ciphertext tells."""

    def __init__(self, asking: _Asking, opening: _Opening):
        self.asking, self.opening = asking, opening

    def takes(self, node: int, request: bytes, answer: Answer) -> bool:
        return True

    def bad_item(self) -> CiphertextError | None:
        return self.opening.diagnose(self.asking.client._binding(self.asking.key))


class _Proved(_Unproved):
    """Takes an answer only if its node proves it."""

    def takes(self, node: int, request: bytes, answer: Answer) -> bool:
        key = self.asking.key
        identity = key.committee.identity(node)
        if answer.proof is None or identity is None:
            return False
        context = partial_context(
            self.asking.fingerprint, key.name, key.version, key.purpose, key.public.suite,
            key.epoch.to_bytes(), node, identity, request,
        )  # fmt: skip
        public = key.verifying_key(node)
        if public.is_identity():
            return False
        return tdh2.verify_partials(context, public, [self.opening.kem], answer.partials, answer.proof)


def _decrypt(asking: _Asking, opening: _Opening) -> tuple[bytes, Report]:
    """Asks without proofs; if the result is not what the ciphertext commits to, once more with."""
    key, head = asking.key, opening.head
    binding = asking.client._binding(key)

    def combine(answers: Mapping[int, Answer]) -> bytes:
        partials = {i: a.partials[0] for i, a in answers.items()}
        return tdh2.open_kem(binding, opening.label, head.header, opening.kem, partials, key.threshold)

    fast = asking.gather("decrypt", opening.label, [head.raw], _Unproved(asking, opening), prove=False)
    try:
        return combine(fast), asking.report(fast)
    except tdh2.CommitmentError:
        pass
    # Either the ciphertext is bad, or a node lied.
    fault = opening.diagnose(binding)
    if fault is not None:
        raise fault
    proved = asking.gather(
        "decrypt", opening.label, [head.raw], _Proved(asking, opening), prove=True, first=set(fast)
    )
    # Nodes whose proven partials are not those that they gave when nobody asked for a proof.
    asking.liars |= {i for i, a in proved.items() if i in fast and fast[i].partials != a.partials}
    try:
        return combine(proved), asking.report(proved)
    except tdh2.CommitmentError:
        raise CiphertextError("the ciphertext was badly made: its proof holds, but no key opens it") from None


# --- deriving ----------------------------------------------------------------------------------


class _DeriveProofs:
    """Takes proven answers only, and keeps what it has verified."""

    def __init__(self, key: Key, batch: Batch):
        self.key, self.batch = key, batch
        self.verified: dict[int, list[Point]] = {}

    def takes(self, node: int, request: bytes, answer: Answer) -> bool:
        public = self.key.verifying_key(node)
        if public.is_identity():
            return False
        points = self.batch.verify(public, answer.partials, answer.proof)
        if points is None:
            return False
        self.verified[node] = points
        return True

    def bad_item(self) -> CiphertextError | None:
        return None  # elements are made here: who calls one invalid lies


def _derive(asking: _Asking, batch: Batch, label: bytes) -> tuple[list[bytes], Report]:
    proofs = _DeriveProofs(asking.key, batch)
    answers = asking.gather("derive", label, batch.elements, proofs, prove=True)
    verified = {i: proofs.verified[i] for i in answers}
    return batch.finalize(verified, asking.key.threshold), asking.report(answers)
