#!/bin/sh
# Detects a picture of the conformance set N times.
cd "$(dirname "$0")"
exec python3 test_ultraface.py frames "$1"
