#!/bin/sh
# Compiles library, example and test with Mono, and runs both.
set -e
cd "$(dirname "$0")"
mkdir -p build
mcs -langversion:latest -unsafe -warnaserror -target:library -out:build/UltraFace.dll UltraFace.cs Native.cs
mcs -langversion:latest -warnaserror -r:build/UltraFace.dll -out:build/Example.exe Example.cs
mcs -langversion:latest -warnaserror -r:build/UltraFace.dll -out:build/Test.exe Test.cs
export LD_LIBRARY_PATH="$PWD/../../build/shared"
[ "$(mono build/Example.exe ../../conformance/example.ppm | wc -l)" -ge 2 ]
mono build/Test.exe ../../conformance
