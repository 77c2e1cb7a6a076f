# `just` alone lists the recipes.
_default:
    @just --list --unsorted

# Tell the whole story on five embedded nodes: `just demo --file PATH` takes another file.
demo *ARGS:
    cargo run --release --locked -- demo {{ARGS}}

# Run every test of the workspace; arguments go to cargo test.
test *ARGS:
    cargo test --workspace --locked {{ARGS}}

# Test the Python client, with a cluster of release binaries; needs a venv with `clients/python[test]`.
python *ARGS:
    cargo build --release --locked
    cd clients/python && python generate.py && QUORATE_BIN={{justfile_directory()}}/target/release python -m pytest {{ARGS}}

# Simulate reshares in disorder for so many seconds; a broken invariant prints its seed.
soak SECONDS FIRST="1000":
    QUORATE_SIM_SECONDS={{SECONDS}} QUORATE_FIRST={{FIRST}} cargo test --release --locked -p quorate-ceremony --test sim no_disorder -- --nocapture

# The same of whole nodes, with their stores, requests and nonces.
soak-nodes SECONDS FIRST="1000":
    QUORATE_SIM_SECONDS={{SECONDS}} QUORATE_FIRST={{FIRST}} cargo test --release --locked -p quorate-node --lib tests::sim::soak -- --ignored --nocapture

# Plant every bug that the simulator must find.
planted:
    cargo test --locked -p quorate-ceremony --features planted-bugs --test sim planted -- --nocapture

# Check the formatting and refuse every warning, as CI does.
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- -D warnings

# Build the API documentation; a broken link is an error.
docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

# Check advisories, licences, bans and sources (needs `cargo install cargo-deny --locked`).
deny:
    cargo deny --locked check

# Fuzz every target, SECONDS each (needs `cargo install cargo-fuzz --locked`).
fuzz SECONDS="60":
    cargo run --quiet --manifest-path fuzz/Cargo.toml --example seeds
    for target in $(cargo fuzz list | grep -vx ceremony); do \
        RUSTC_BOOTSTRAP=1 cargo fuzz run "$target" -- -max_total_time={{SECONDS}} || exit 1; \
    done
    {{fuzz_ceremony}} -- -max_total_time={{SECONDS}}

# A ceremony is curve arithmetic: ten times as fast if not every comparison is traced.
fuzz_ceremony := "RUSTC_BOOTSTRAP=1 cargo fuzz run -s none --no-trace-compares --target-dir target/fuzz ceremony"

# Do all that CI does, in its order.
ci:
    .ci/run
