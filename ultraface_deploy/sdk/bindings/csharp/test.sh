#!/bin/sh
# Compiles library, example and test with Mono, and runs the test.
set -e
cd "$(dirname "$0")"
mkdir -p build
mcs -langversion:latest -unsafe -warnaserror -target:library -out:build/UltraFace.dll UltraFace.cs Native.cs
mcs -langversion:latest -warnaserror -r:build/UltraFace.dll -out:build/Example.exe Example.cs
mcs -langversion:latest -warnaserror -r:build/UltraFace.dll -out:build/Test.exe Test.cs
LD_LIBRARY_PATH="$PWD/../../build/shared" mono build/Test.exe ../../conformance
