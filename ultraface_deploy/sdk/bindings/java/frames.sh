#!/bin/sh
# Detects a picture of the conformance set N times, after test.sh has compiled it.
cd "$(dirname "$0")"
exec java -Xmx64m -XX:+UseSerialGC -Djava.library.path=build -cp build/classes \
    Test ../../conformance "$1"
