"""Client of Quorate, the distributed threshold key service.

from quorate import Client

with Client.open("c/client") as client:
    sealed = client.encrypt("demo", b"hello", {"app": "crm"})
    assert client.decrypt(sealed, {"app": "crm"}) == b"hello"
    client.verify("release", b"v1.2.3 is good", client.sign("release", b"v1.2.3 is good"))
    assert client.unwrap("vault", client.wrap("vault", b"hello")) == b"hello"
"""

from .asking import Report
from .client import Client
from .datakey import DataKey
from .errors import (
    CertificateError,
    CiphertextError,
    CodecError,
    HomeError,
    InvalidError,
    NoQuorumError,
    OrderError,
    PartyError,
    QuorateError,
    RefusedError,
    RosterError,
    SignatureError,
    UnknownKeyError,
    VerificationError,
    WrongPurposeError,
)
from .states import KeyState

__all__ = [
    "CertificateError",
    "CiphertextError",
    "Client",
    "CodecError",
    "DataKey",
    "HomeError",
    "InvalidError",
    "KeyState",
    "NoQuorumError",
    "OrderError",
    "PartyError",
    "QuorateError",
    "RefusedError",
    "Report",
    "RosterError",
    "SignatureError",
    "UnknownKeyError",
    "VerificationError",
    "WrongPurposeError",
]
