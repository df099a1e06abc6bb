#!/bin/sh
# Detects a picture of the conformance set N times, after test.sh has compiled it.
cd "$(dirname "$0")"
exec .build/release/frames ../../conformance "$1"
