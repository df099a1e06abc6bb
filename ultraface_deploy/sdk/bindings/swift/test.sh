#!/bin/sh
# Builds package and example, runs the tests; asks no network.
set -e
cd "$(dirname "$0")"
swift build -c release
[ "$(.build/release/faces ../../conformance/example.ppm | wc -l)" -ge 2 ]
swift test
