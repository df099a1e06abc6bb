#!/bin/sh
# Detects a picture of the conformance set N times, after test.sh has compiled it.
cd "$(dirname "$0")"
set -- "$1" $(awk '$2 == "nv21-270" {print $3, $5, $6}' ../../conformance/cases.txt)
exec build/frames "../../conformance/$2" "$3" "$4" "$1"
