#!/bin/sh
# The example, the conformance set, threads, memory and errors.
set -e
cd "$(dirname "$0")"
[ "$(python3 example.py ../../conformance/example.ppm | wc -l)" -ge 2 ]
exec python3 -m unittest test_ultraface
