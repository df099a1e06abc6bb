#!/bin/sh
# The conformance set, threads, memory and errors.
set -e
cd "$(dirname "$0")"
exec python3 -m unittest test_ultraface
