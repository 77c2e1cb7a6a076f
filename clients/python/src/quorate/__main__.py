"""`python -m quorate encrypt|decrypt|reencrypt|derive|sign|verify`, with the exit codes of `quorate`."""

from __future__ import annotations

import argparse
import os
import sys

from .asking import Report
from .client import Client
from .errors import InvalidError, QuorateError
from .frost import MAX_MESSAGE
from .voprf import MAX_INPUT


def _context(pairs: list[str]) -> dict[str, str]:
    context: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name or name in context:
            raise InvalidError(f"--context: expected NAME=VALUE, each name once; got {pair!r}")
        context[name] = value
    return context


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m quorate", description=__doc__)
    parser.add_argument("--home", default=os.environ.get("QUORATE_HOME"), help="home directory of a client")
    parser.add_argument("--timeout", type=float, default=10.0, help="seconds for one operation (default 10)")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, what in (
        ("encrypt", "encrypt stdin; needs no node, but for a key that wraps"),
        ("decrypt", "decrypt stdin; needs a quorum of nodes"),
        ("reencrypt", "encrypt stdin, a ciphertext, under another key; needs a quorum of nodes"),
        ("derive", "derive a secret of 64 bytes from stdin; every byte counts"),
        ("sign", "sign stdin, at most 1024 bytes: an Ed25519 signature of 64 bytes"),
        ("verify", "verify an Ed25519 signature of stdin; needs no node"),
    ):
        command = commands.add_parser(name, help=what)
        if name != "verify":
            command.add_argument("--context", action="append", default=[], metavar="NAME=VALUE")
        if name != "decrypt":
            command.add_argument("--key", required=True, help="the key's name")
        if name in ("derive", "sign", "verify"):
            command.add_argument("--key-version", type=int, help="default: the newest")
        if name == "reencrypt":
            command.add_argument(
                "--to-context",
                action="append",
                metavar="NAME=VALUE",
                help="what it is encrypted with (default: as --context)",
            )
        if name == "derive":
            command.add_argument("--encoding", choices=("raw", "hex"), default="hex")
        if name == "verify":
            command.add_argument("--signature", required=True, metavar="FILE", help="its 64 bytes")
    return parser


def _run(options: argparse.Namespace, client: Client) -> None:
    stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
    context = _context(getattr(options, "context", []))
    report = Report()
    if options.command == "encrypt":
        report = client.encrypt_stream(options.key, stdin, stdout, context)
    elif options.command == "decrypt":
        report = client.decrypt_stream(stdin, stdout, context)
    elif options.command == "reencrypt":
        to = context if options.to_context is None else _context(options.to_context)
        report = client.reencrypt_stream(stdin, stdout, context, options.key, to)
    elif options.command == "derive":
        data = stdin.read(MAX_INPUT + 1)
        (secret,), report = client.derive_batch(options.key, [data], context, version=options.key_version)
        stdout.write(secret if options.encoding == "raw" else secret.hex().encode() + b"\n")
    else:
        message = stdin.read(MAX_MESSAGE + 1)
        if options.command == "sign":
            (made,), report = client.sign_batch(options.key, [message], context, version=options.key_version)
            stdout.write(made)
        else:
            signature = _signature_file(options.signature)
            client.verify(options.key, message, signature, version=options.key_version)
    for liar in report.liars:
        print(f"quorate: node {liar} answered wrongly and was left out", file=sys.stderr)
    stdout.flush()


def _signature_file(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(65)
    except OSError as error:
        raise InvalidError(f"--signature: {path}: {error.strerror}") from None


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        if not options.home:
            raise InvalidError("a home directory is needed: name it with --home or QUORATE_HOME")
        with Client.open(options.home, timeout=options.timeout) as client:
            _run(options, client)
    except QuorateError as error:
        print(f"quorate: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
