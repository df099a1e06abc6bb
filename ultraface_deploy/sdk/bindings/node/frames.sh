#!/bin/sh
# Detects a picture of the conformance set N times, after test.sh has compiled the addon.
cd "$(dirname "$0")"
exec node test.js "$1"
