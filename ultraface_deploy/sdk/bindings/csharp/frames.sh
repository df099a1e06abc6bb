#!/bin/sh
# Detects a picture of the conformance set N times, after test.sh has compiled it.
cd "$(dirname "$0")"
LD_LIBRARY_PATH="$PWD/../../build/shared" exec mono build/Test.exe ../../conformance "$1"
