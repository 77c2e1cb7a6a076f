#!/usr/bin/env bash
# Makes the base images of deploy/Dockerfile on this machine, for where no registry can be reached.
#
#   base-images.sh runtime        quorate-test/runtime: a minimal Debian bookworm by debootstrap
#   base-images.sh prebuilt DIR   quorate-test/prebuilt: a build stage whose `cargo build` hands out
#                                 the three programs of DIR instead of compiling them
#   base-images.sh full           quorate-test/rust: Debian with gcc, this machine's Rust toolchain
#                                 and crates; the build stage compiles for real, which takes minutes
#
# Each prints the image's name as its last line and is quick when the image is already there.
set -euo pipefail

packages=quorate-test/debian-gcc
work=

import_debian() {
    local tag=$1 include=$2
    docker image inspect "$tag" >/dev/null 2>&1 && return
    command -v debootstrap >/dev/null || {
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq debootstrap
    } >&2
    scratch
    debootstrap --variant=minbase ${include:+--include="$include"} bookworm "$work/root" \
        "${DEBIAN_MIRROR:-http://deb.debian.org/debian}" >"$work/log" 2>&1 ||
        { tail -20 "$work/log" >&2; exit 1; }
    # debootstrap leaves device nodes and packages that an image has no use for.
    tar -C "$work/root" -c --exclude='./proc/*' --exclude='./sys/*' --exclude='./dev/*' \
        --exclude='./var/cache/apt/*' --exclude='./var/lib/apt/lists/*' . |
        docker import - "$tag" >/dev/null
}

# The shim checks that it is asked for exactly what it hands out, and that the build context holds
# what a real build needs; compiling is what `cargo build` outside the container has tested.
prebuilt() {
    local programs=$1 program
    import_debian quorate-test/runtime ""
    scratch
    mkdir "$work/programs"
    for program in quorate quorate-node quorate-coordinator; do
        install -m 0755 "$programs/$program" "$work/programs/$program"
    done
    cat >"$work/cargo" <<'SHIM'
#!/bin/sh
set -eu
want='build --release --locked -p quorate-cli -p quorate-node -p quorate-coordinator --bins'
[ "$*" = "$want" ] || { echo "cargo shim: asked for '$*', knows only '$want'" >&2; exit 1; }
for path in Cargo.toml Cargo.lock README.md crates/quorate-cli/src/main.rs proto/quorate/v1/node.proto \
    crates/quorate-rpc/build.rs tests/Cargo.toml; do
    [ -s "$path" ] || { echo "cargo shim: the build context lacks $path" >&2; exit 1; }
done
[ ! -e target ] && [ ! -e .git ] || { echo "cargo shim: the build context is too wide" >&2; exit 1; }
mkdir -p target/release
cp /opt/programs/* target/release/
SHIM
    chmod 0755 "$work/cargo"
    printf 'FROM quorate-test/runtime\nCOPY programs /opt/programs\nCOPY cargo /usr/local/bin/cargo\n' \
        >"$work/Dockerfile"
    docker build -q -t quorate-test/prebuilt "$work" >/dev/null
}

full() {
    local home=${CARGO_HOME:-$HOME/.cargo} sysroot
    import_debian "$packages" gcc,libc6-dev
    docker image inspect quorate-test/rust >/dev/null 2>&1 && return
    cargo fetch --locked >&2
    sysroot=$(rustc --print sysroot)
    scratch
    mkdir -p "$work/cargo"
    cp -a "$home/registry" "$work/cargo/registry"
    mkdir "$work/rust"
    tar -C "$sysroot" -c --exclude=./share/doc --exclude=./lib/rustlib/src . | tar -C "$work/rust" -x
    cat >"$work/Dockerfile" <<EOF
FROM $packages
ENV CARGO_HOME=/usr/local/cargo CARGO_NET_OFFLINE=true PATH=/opt/rust/bin:/usr/sbin:/usr/bin:/sbin:/bin
COPY rust /opt/rust
COPY cargo /usr/local/cargo
EOF
    docker build -q -t quorate-test/rust "$work" >/dev/null
}

scratch() {
    [ -n "$work" ] && rm -rf "$work"
    work=$(mktemp -d)
}
trap '[ -z "$work" ] || rm -rf "$work"' EXIT

case ${1:-} in
runtime) import_debian quorate-test/runtime "" && echo quorate-test/runtime ;;
prebuilt) prebuilt "${2:?which folder holds the programs?}" && echo quorate-test/prebuilt ;;
full) full && echo quorate-test/rust ;;
*)
    sed -n '2,11s/^# \{0,1\}//p' "$0" >&2
    exit 64
    ;;
esac
