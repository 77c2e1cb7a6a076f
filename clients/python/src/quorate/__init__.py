"""Client of Quorate, the distributed threshold key service.

from quorate import Client

with Client.open("c/client") as client:
    sealed = client.encrypt("demo", b"hello", {"app": "crm"})
    assert client.decrypt(sealed, {"app": "crm"}) == b"hello"
    client.verify("release", b"v1.2.3 is good", client.sign("release", b"v1.2.3 is good"))
"""

from .asking import Report
from .client import Client
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
    "SignatureError",
    "UnknownKeyError",
    "VerificationError",
    "WrongPurposeError",
]
