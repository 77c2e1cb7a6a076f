"""Generates src/quorate/v1/*_pb2.py from the project's proto files. Run it by itself for a checkout."""

from pathlib import Path

HERE = Path(__file__).resolve().parent
PROTO = HERE.parent.parent / "proto"
FILES = ("quorate/v1/types.proto", "quorate/v1/client.proto")


def generate() -> None:
    out = HERE / "src"
    if not PROTO.is_dir():  # a source distribution brings the generated files
        if not (out / "quorate/v1/client_pb2.py").exists():
            raise SystemExit(f"{PROTO} is missing: build from a checkout of the repository")
        return
    import grpc_tools
    from grpc_tools import protoc

    include = Path(grpc_tools.__file__).parent / "_proto"
    arguments = ["protoc", f"-I{PROTO}", f"-I{include}", f"--python_out={out}", f"--pyi_out={out}", *FILES]
    if protoc.main(arguments) != 0:
        raise SystemExit("protoc failed; its message stands above")
    (out / "quorate/v1/__init__.py").write_text('"""Generated protobuf messages."""\n')


if __name__ == "__main__":
    generate()
