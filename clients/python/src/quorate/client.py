"""The client: keys verified from the pinned fingerprint; what a quorum does with them.

It believes no coordinator and no single node. A liar is named and left out, others are asked.
"""

from __future__ import annotations

import io
import os
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import BinaryIO, TypeVar

from . import stream, tdh2
from .answers import OLDER_VERSION, AnswerBook
from .asking import MAX_TTL, Asker, Asking, BadItems, Link, Moved, Report, most_items
from .certificate import Key, KeyRecord
from .datakey import DATA_KEY_BYTES, DataKey, data_key
from .decrypting import Item, Opened, Opening, binding_of, decrypt
from .deriving import derive
from .errors import (
    CertificateError,
    CiphertextError,
    CodecError,
    InvalidError,
    PartyError,
    QuorateError,
    RefusedError,
    RosterError,
    UnknownKeyError,
    UnknownRosterError,
    VerificationError,
)
from .frost import MAX_NONCES
from .home import Home, Pin
from .nonces import NoncePool
from .request import MAX_HEAD, EncryptedHead, Head, encode_context, encode_header
from .roster import Cluster, parse_signed_roster
from .signing import draw_ahead, in_requests, sign
from .states import KeyState, Shown, States
from .transport import Coordinator
from .v1 import client_pb2, types_pb2
from .voprf import Batch, private_input
from .wire import check_key_name
from .wrap import MAX_WRAP, OneTimeKey, draw_nonce, split_wrapped
from .wrapping import Asked, Committed, one_time_keys, unwrap

T = TypeVar("T")
Context = Mapping[str, str] | None
#: A ciphertext's head, parsed: to a public key, or under a one-time key.
Sealed = Item | Committed

#: One operation at one coordinator, in seconds.
TIMEOUT = 10.0
#: How often a call follows shares that move meanwhile.
MAX_MOVES = 4
MAX_KEYS = 1024


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
        self._nonces = NoncePool()
        self._given = links is not None
        self._links: list[Link] = list(links) if links is not None else self._coordinators()
        self._keys: dict[tuple[str, int], Key] = {}
        self._states = States(home, lambda: self._cluster, self._refresh_roster_from)
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
        """A version of a key (the newest), by the key's name or an alias, verified and pinned.

        If nobody can be reached, the newest pinned version: encryption needs nobody.
        """
        check_key_name(name)
        try:
            return self._fetch(name, None) if version is None else self._version(name, version)
        except UnknownKeyError:
            meant = None if self._home.newest_pin(name) is not None else self._resolve(name)
            if meant is None:
                raise
            return self._fetch(meant, None) if version is None else self._version(meant, version)
        except PartyError:
            if version is not None:
                raise
            name = self._states.pinned_alias(name) or name
            newest = self._home.newest_pin(name)
            key = None if newest is None else self._pinned(name, newest)
            if key is None:
                raise
            return key

    def _version(self, name: str, version: int) -> Key:
        """By the key's own name: from this process, from its pin, else from the cluster."""
        known = self._keys.get((name, version)) or self._pinned(name, version)
        return known or self._fetch(name, version)

    def key_state(self, name: str) -> KeyState:
        """How operators have ordered that a key is, verified; never an older order than one that was seen.

        Revision 0 if they have ordered nothing.
        """
        order = self._shown_states(check_key_name(name)).orders.get(name)
        return KeyState(name) if order is None else order.state

    def _resolve(self, alias: str) -> str | None:
        """The key that an alias means."""
        return self._states.resolve(alias, self._shown_states, int(self._clock() * 1000))

    def _shown_states(self, name: str) -> Shown:
        """What the first coordinator shows whose orders verify and are not older than what was seen."""
        self._ask_roster_once()
        return self._each(lambda link: self._states.shown_by(link, name, self._timeout))

    def _ask_roster_once(self) -> None:
        if self._roster_asked:
            return
        try:
            self.refresh_roster()
            self._roster_asked = True
        except PartyError:
            pass  # an outage for what comes next too, and told there

    def _fetch(self, name: str, version: int | None) -> Key:
        self._ask_roster_once()
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
        """Encrypts under the newest version of a key that decrypts or wraps.

        The same context is needed to decrypt. To a key that decrypts this asks nobody; one that wraps takes a
        quorum and a grant here too, and its ciphertexts are shorter by 192 bytes.
        """
        return self.encrypt_batch(key, [plaintext], context)[0][0]

    def encrypt_batch(
        self, key: str, plaintexts: Iterable[bytes], context: Context = None
    ) -> tuple[list[bytes], Report]:
        """Encrypts many messages under one context, in their order; and what it took. All or none.

        Under a key that wraps one request for every 1,024 (fewer where `t` is above 28).
        """
        given = list(plaintexts)
        begun, report = self._begin(key, len(given), context)
        made = []
        for (head, payload_key), plaintext in zip(begun, given, strict=True):
            out = io.BytesIO()
            out.write(head)
            stream.seal(payload_key, io.BytesIO(plaintext), out)
            made.append(out.getvalue())
        return made, report

    def encrypt_stream(
        self, key: str, reader: stream.Source, writer: BinaryIO, context: Context = None
    ) -> Report:
        """Encrypts a stream of any size in constant memory."""
        ((head, payload_key),), report = self._begin(key, 1, context)
        writer.write(head)
        stream.seal(payload_key, reader, writer)
        return report

    def _begin(self, key: str, count: int, context: Context) -> tuple[list[tuple[bytes, bytes]], Report]:
        """Heads of new ciphertexts, each with the key of its payload."""
        label, public = encode_context(context), self.key(key)
        public.must_seal()
        header = encode_header(self._cluster.fingerprint, public.name, public.version, public.purpose)
        if public.purpose != "wrap":
            binding = binding_of(public)
            made = [tdh2.encapsulate(binding, label, header) for _ in range(count)]
            return [(header + kem, payload_key) for kem, payload_key in made], Report()
        asked = [Asked.fresh(header) for _ in range(count)]
        keys, report = self._one_time_keys(public, asked, label)
        pairs = zip(asked, keys, strict=True)
        return [(header + one.nonce + made.commitment, made.key) for one, made in pairs], report

    def _one_time_keys(
        self, key: Key, asked: Sequence[Asked], label: bytes
    ) -> tuple[list[OneTimeKey], Report]:
        """From nodes that have all proved their part."""
        keys: list[OneTimeKey] = []
        report = Report()
        most = most_items(key)
        for i in range(0, len(asked), most):
            more, took = self._work(key, partial(one_time_keys, asked=asked[i : i + most], label=label))
            keys += more
            report.add(took)
        return keys, report

    def reencrypt(self, ciphertext: bytes, context: Context, key: str, to_context: Context) -> bytes:
        """Decrypts, and encrypts under another key, or under a newer version: the new ciphertext."""
        out = io.BytesIO()
        self.reencrypt_stream(io.BytesIO(ciphertext), out, context, key, to_context)
        return out.getvalue()

    def reencrypt_stream(
        self, reader: stream.Source, writer: BinaryIO, context: Context, key: str, to_context: Context
    ) -> Report:
        """As `reencrypt` for a stream of any size, in constant memory.

        What the writer got is no whole ciphertext unless this returns.
        """
        self.key(key).must_seal()  # before anything is decrypted for it
        plaintext, report = self._opener(reader, context)
        report.add(self.encrypt_stream(key, plaintext, writer, to_context))
        return report

    # --- wrapping ------------------------------------------------------------------------------

    def wrap(
        self,
        key: str,
        plaintext: bytes,
        context: Context = None,
        *,
        other_data: bytes = b"",
        version: int | None = None,
    ) -> bytes:
        """Wraps at most 64 KiB as it is, under a version of a key that wraps (the newest).

        As long as the plaintext and 32 bytes: it names neither key nor version. `other_data` is bound, not
        sealed, and no node sees it.
        """
        return self.wrap_batch(key, [(plaintext, other_data)], context, version=version)[0][0]

    def wrap_batch(
        self,
        key: str,
        items: Iterable[tuple[bytes, bytes]],
        context: Context = None,
        *,
        version: int | None = None,
    ) -> tuple[list[bytes], Report]:
        """Wraps many plaintexts, each with its other data, in their order; and what it took. All or none."""
        label, given = encode_context(context), list(items)
        long = next((len(plaintext) for plaintext, _ in given if len(plaintext) > MAX_WRAP), None)
        if long is not None:
            raise InvalidError(
                f"what is wrapped has at most {MAX_WRAP} bytes, got {long}: encrypt it instead"
            )
        public = self.key(key, version)
        public.must_allow("wrap")
        asked = [Asked(b"", draw_nonce(*item)) for item in given]
        keys, report = self._one_time_keys(public, asked, label)
        made = [a.nonce + k.seal(*item) for a, k, item in zip(asked, keys, given, strict=True)]
        return made, report

    def unwrap(
        self,
        key: str,
        wrapped: bytes,
        context: Context = None,
        *,
        other_data: bytes = b"",
        version: int | None = None,
    ) -> bytes:
        """Unwraps what `wrap` made, under the version that it was wrapped under (default: the newest)."""
        ((opened,), _) = self.unwrap_batch(key, [(wrapped, other_data)], context, version=version)
        if isinstance(opened, CiphertextError):
            raise opened
        return opened

    def unwrap_batch(
        self,
        key: str,
        items: Iterable[tuple[bytes, bytes]],
        context: Context = None,
        *,
        version: int | None = None,
    ) -> tuple[Opened, Report]:
        """Unwraps many, each with its other data; one result for each, in their order.

        Nothing commits to the one-time keys, so every node proves its part. What concerns one stands in its
        place, as an error; what concerns all is raised.
        """
        label, given = encode_context(context), list(items)
        public = self.key(key, version)
        public.must_allow("wrap")
        split = [_or_error(partial(split_wrapped, wrapped)) for wrapped, _ in given]
        asked = [Asked(b"", one[0]) for one in split if not isinstance(one, CiphertextError)]
        keys, report = self._one_time_keys(public, asked, label)
        left = iter(keys)
        results: Opened = []
        for one, (_, other_data) in zip(split, given, strict=True):
            if isinstance(one, CiphertextError):
                results.append(one)
            else:
                results.append(_or_error(partial(next(left).open, one[1], other_data)))
        return results, report

    # --- data keys -----------------------------------------------------------------------------

    def data_key(self, key: str, context: Context = None) -> DataKey:
        """A fresh data key of 32 bytes, in the clear and encrypted under a key that decrypts or wraps."""
        return self.data_keys(key, 1, context)[0][0]

    def data_keys(self, key: str, count: int, context: Context = None) -> tuple[list[DataKey], Report]:
        """Many at once, and what it took."""
        if count < 0:
            raise InvalidError(f"the number of data keys is 0 or more, got {count}")
        drawn = [secrets.token_bytes(DATA_KEY_BYTES) for _ in range(count)]
        wrapped, report = self.encrypt_batch(key, drawn, context)
        return [DataKey(*both) for both in zip(drawn, wrapped, strict=True)], report

    def data_key_without_plaintext(self, key: str, context: Context = None) -> bytes:
        """A fresh data key, encrypted only: for whoever is to store it and never to use it."""
        return self.data_key(key, context).wrapped

    def unwrap_data_key(self, wrapped: bytes, context: Context = None) -> bytes:
        """The data key that was encrypted so."""
        return data_key(self.decrypt(wrapped, context))

    def unwrap_data_keys(self, wrapped: Iterable[bytes], context: Context = None) -> tuple[Opened, Report]:
        """Many at once; what concerns one stands in its place, as an error."""
        opened, report = self.decrypt_batch(wrapped, context)
        return [
            one if isinstance(one, CiphertextError) else _or_error(partial(data_key, one)) for one in opened
        ], report

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
        plaintext, report = self._opener(reader, context)
        while chunk := plaintext.read():
            writer.write(chunk)
        return report

    def _opener(self, reader: stream.Source, context: Context) -> tuple[stream.Opener, Report]:
        """A ciphertext's plaintext, to be read; its payload key is asked for here."""
        label = encode_context(context)
        front = b""
        while len(front) < MAX_HEAD and (more := reader.read(MAX_HEAD - len(front))):
            front += more
        item = _split(front, self._cluster.fingerprint)
        (payload_key,), report = self._open(self._named_key(item.head), [item], label)
        if isinstance(payload_key, CiphertextError):
            raise payload_key
        return stream.Opener(payload_key, _Joined(front[len(item.head.raw) :], reader)), report

    def decrypt_batch(self, ciphertexts: Iterable[bytes], context: Context = None) -> tuple[Opened, Report]:
        """Decrypts many ciphertexts under one context.

        One request for every 1,024 of one key (fewer where `t` is above 28). One result for each, in their
        order: what concerns one ciphertext stands in its place, as an error; what concerns all is raised.
        """
        label, given = encode_context(context), list(ciphertexts)
        results: dict[int, bytes | CiphertextError] = {}
        groups: dict[tuple[str, int, str], dict[int, Sealed]] = {}
        for at, ciphertext in enumerate(given):
            try:
                item = _split(ciphertext[:MAX_HEAD], self._cluster.fingerprint)
                named = item.head.key, item.head.version, item.head.purpose
                groups.setdefault(named, {})[at] = item
            except CiphertextError as error:
                results[at] = error
        report = Report()
        for group in groups.values():
            places, items = list(group), list(group.values())
            try:
                key = self._named_key(items[0].head)
            except CiphertextError as error:
                results.update(dict.fromkeys(places, error))
                continue
            for i in range(0, len(items), most_items(key)):
                some = items[i : i + most_items(key)]
                opened, took = self._open(key, some, label)
                report.add(took)
                for at, item, payload_key in zip(places[i:], some, opened, strict=False):
                    results[at] = _open_payload(payload_key, given[at][len(item.head.raw) :])
        return [results[at] for at in range(len(given))], report

    def _named_key(self, head: Head) -> Key:
        """The key that a ciphertext names, which must be for what its form says."""
        try:
            key = self._version(head.key, head.version)  # its own name: an alias stands in no ciphertext
        except UnknownKeyError:
            raise CiphertextError(
                f"the ciphertext names key {head.key} version {head.version}, which the cluster does not "
                "have: it was changed, or the key is gone"
            ) from None
        if key.purpose != head.purpose:  # nothing of this form is ever encrypted under such a key
            raise CiphertextError(
                f"the ciphertext was changed: it names key {key.name}, which is to {key.purpose}"
            )
        return key

    def _open(self, key: Key, items: Sequence[Sealed], label: bytes) -> tuple[Opened, Report]:
        """Payload keys of one request's items, all of the form of their key."""
        wrapped = [item for item in items if isinstance(item, Committed)]
        if wrapped:
            return self._work(key, partial(unwrap, items=wrapped, label=label))
        return self._open_encrypted(key, [item for item in items if isinstance(item, Item)], label)

    def _open_encrypted(self, key: Key, items: Sequence[Item], label: bytes) -> tuple[Opened, Report]:
        """Bad items are left out and the rest asked for once more."""
        results: dict[int, bytes | CiphertextError] = {}
        left, report = list(range(len(items))), Report()
        while left:
            opening = Opening([items[at] for at in left], label)
            try:
                opened, report = self._work(key, partial(decrypt, opening=opening))
            except BadItems as bad:
                results.update({left[i]: error for i, error in bad.items.items()})
                left = [at for i, at in enumerate(left) if i not in bad.items]
                continue
            results.update(zip(left, opened, strict=True))
            break
        return [results[at] for at in range(len(items))], report

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
        # One place is the check element's.
        most = most_items(public) - 1
        derived: list[bytes] = []
        report = Report()
        for i in range(0, len(hashed), most):
            batch = Batch(hashed[i : i + most])
            more, took = self._work(public, partial(derive, batch=batch, label=label))
            derived += more
            report.add(took)
        return derived, report

    # --- signatures ----------------------------------------------------------------------------

    def sign(self, key: str, message: bytes, *, version: int | None = None) -> bytes:
        """An Ed25519 signature (64 bytes, RFC 8032) of a message of at most 1,024 bytes.

        It is verified under the pinned public key before it is given out.
        """
        return self.sign_batch(key, [message], version=version)[0][0]

    def sign_batch(
        self, key: str, messages: Iterable[bytes], context: Context = None, *, version: int | None = None
    ) -> tuple[list[bytes], Report]:
        """Signatures of many messages, in their order, and what it took. All or none.

        Up to 1,024 go in one request, which takes one pair of nonces of each signer for each message. Nodes
        see and log the context; it is no part of what is signed. They sign with the newest version only.
        """
        label, given, public = encode_context(context), list(messages), self.key(key, version)
        try:
            return self._sign(public, given, label)
        except RefusedError as older:
            if version is not None or older.code != OLDER_VERSION:
                raise
            # Another one has been born, of which only the nodes knew.
            newest = self._each(lambda link: self._fetch_from(link, public.name, None, fresh=True))
            if newest.version <= public.version:
                raise
            return self._sign(newest, given, label)

    def _sign(self, public: Key, messages: list[bytes], label: bytes) -> tuple[list[bytes], Report]:
        public.must_allow("sign")
        made: list[bytes] = []
        report = Report()
        for some in list(in_requests(public, messages)):
            more, took = self._work(public, partial(sign, pool=self._nonces, label=label, messages=some))
            made += more
            report.add(took)
        return made, report

    def prepare_signing(self, key: str, count: int, *, version: int | None = None) -> None:
        """Has nodes draw nonces ahead: the next `count` signatures take one round trip each.

        Nodes keep them for ten minutes.
        """
        public = self.key(key, version)
        public.must_allow("sign")
        for drawn in range(0, count, MAX_NONCES):
            some = min(count - drawn, MAX_NONCES)
            self._work(public, partial(draw_ahead, pool=self._nonces, count=some))

    def verify(self, key: str, message: bytes, signature: bytes, *, version: int | None = None) -> None:
        """Verifies a signature under a version of a key (the newest). Else `SignatureError`."""
        self.key(key, version).verify_signature(message, signature)

    # --- asking a quorum -----------------------------------------------------------------------

    def _work(self, key: Key, attempt: Callable[[Asking], T]) -> T:
        return self._each(lambda link: self._work_through(link, key, attempt))

    def _work_through(self, link: Link, key: Key, attempt: Callable[[Asking], T]) -> T:
        """One coordinator. If the shares have moved since the key was pinned, asks under the newer epoch."""
        for _ in range(MAX_MOVES):
            try:
                return attempt(Asking(self._asker(), link, key))
            except Moved as moved:
                newer = self._fetch_from(link, key.name, key.version, fresh=True)
                if newer.epoch == key.epoch:
                    raise moved.error from None
                key = newer
        raise InvalidError("the shares of the key keep moving; try again")

    def _asker(self) -> Asker:
        return Asker(self._cluster, self._home.identity, self._answers, self._timeout, self._clock)


def _split(front: bytes, fingerprint: bytes) -> Sealed:
    """Of the front of a ciphertext."""
    head = Head.split(front, fingerprint)
    return Item.of(head) if isinstance(head, EncryptedHead) else Committed(head)


def _or_error(work: Callable[[], T]) -> T | CiphertextError:
    try:
        return work()
    except CiphertextError as error:
        return error


def _open_payload(payload_key: bytes | CiphertextError, payload: bytes) -> bytes | CiphertextError:
    if isinstance(payload_key, CiphertextError):
        return payload_key
    out = io.BytesIO()
    try:
        stream.open_stream(payload_key, io.BytesIO(payload), out)
    except CiphertextError as error:
        return error
    return out.getvalue()


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
