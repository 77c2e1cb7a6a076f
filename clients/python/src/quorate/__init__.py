"""Client of Quorate, the distributed threshold key service.

from quorate import Client

with Client.open("c/client") as client:
    sealed = client.encrypt("demo", b"hello", {"app": "crm"})
    assert client.decrypt(sealed, {"app": "crm"}) == b"hello"
"""

from .client import Client, Report
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
    UnknownKeyError,
    VerificationError,
    WrongPurposeError,
)

__all__ = [
    "CertificateError",
    "CiphertextError",
    "Client",
    "CodecError",
    "HomeError",
    "InvalidError",
    "NoQuorumError",
    "OrderError",
    "PartyError",
    "QuorateError",
    "RefusedError",
    "Report",
    "RosterError",
    "UnknownKeyError",
    "VerificationError",
    "WrongPurposeError",
]
