#!/bin/sh
# Lint, tests and example, with nothing from elsewhere.
set -e
cd "$(dirname "$0")"
if cargo clippy --version >/dev/null 2>&1; then
    cargo clippy --quiet --offline --release --all-targets -- -D warnings
fi
cargo test --quiet --offline --release
cargo build --quiet --offline --release --examples
[ "$(target/release/examples/faces ../../conformance/example.ppm | wc -l)" -ge 2 ]
