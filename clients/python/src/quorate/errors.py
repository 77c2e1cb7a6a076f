"""Why something failed, and by whose fault. One line for people each; never a secret in it."""

from __future__ import annotations

from collections.abc import Sequence


class QuorateError(Exception):
    """Anything this package raises on purpose."""

    exit_code = 1
    #: Which of several coordinators' failures is told: the heaviest.
    weight = 1
    #: Whether another coordinator could do better.
    elsewhere = False


class InvalidError(QuorateError):
    """The caller's argument."""


class CodecError(QuorateError):
    """Bytes that are no value of a format."""


class TruncatedError(CodecError):
    """Bytes that end too early."""


class KindError(CodecError):
    """Bytes of another format."""


class VersionError(CodecError):
    """A version of a format that is not known here."""


class HomeError(QuorateError):
    """The home directory is unusable."""


class RosterError(QuorateError):
    """The roster chain does not verify."""

    exit_code = 5


class OrderError(QuorateError):
    """An order does not stand."""

    exit_code = 5


class UnknownRosterError(OrderError):
    """An order of a roster that is not known here (yet)."""


class CertificateError(QuorateError):
    """A key's certificates do not verify."""

    exit_code = 5


class PartyError(QuorateError):
    """A coordinator could not be asked, or would not listen."""

    weight = 0
    elsewhere = True

    def __init__(
        self,
        party: str,
        message: str,
        *,
        not_found: bool = False,
        late: bool = False,
        unimplemented: bool = False,
    ):
        super().__init__(f"{party}: {message}")
        self.not_found, self.late, self.unimplemented = not_found, late, unimplemented


class UnknownKeyError(QuorateError):
    """No such key, as far as anybody says."""

    elsewhere = True

    def __init__(self, name: str, version: int | None):
        suffix = "" if version is None else f" version {version}"
        super().__init__(f"the cluster has no key {name}{suffix}")
        self.name, self.version = name, version


class WrongPurposeError(QuorateError):
    """The key is for something else; every node would refuse."""

    exit_code = 3


class RefusedError(QuorateError):
    """So many nodes refused, under their signatures, that a quorum is out of reach."""

    exit_code = 3

    def __init__(self, reason: str, nodes: Sequence[str], code: int):
        super().__init__(f"refused: {reason} ({', '.join(nodes)})")
        self.nodes, self.code = tuple(nodes), code


class NoQuorumError(QuorateError):
    """Too few nodes answer."""

    exit_code = 4
    weight = 2
    elsewhere = True

    def __init__(self, got: int, needed: int, missing: Sequence[str]):
        super().__init__(
            f"no quorum: {got} of the {needed} nodes needed answered; missing: {', '.join(missing)}"
        )
        self.got, self.needed, self.missing = got, needed, tuple(missing)


class VerificationError(QuorateError):
    """Something does not verify, and somebody is to blame: a coordinator, or nodes."""

    exit_code = 5
    weight = 3

    def __init__(self, culprit: str, what: str, *, nodes: Sequence[int] = ()):
        super().__init__(f"verification failed: {culprit} {what}")
        self.culprit, self.nodes = culprit, tuple(nodes)
        self.elsewhere = not nodes


class CiphertextError(QuorateError):
    """The ciphertext at hand is not what was sealed."""

    exit_code = 5


class SignatureError(QuorateError):
    """A signature does not verify for this message under this key."""

    exit_code = 5
