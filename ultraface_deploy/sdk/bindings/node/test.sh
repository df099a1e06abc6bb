#!/bin/sh
# Compiles the addon with the system's compiler, and runs example and test.
set -e
cd "$(dirname "$0")"
prefix=$(dirname "$(dirname "$(readlink -f "$(command -v node)")")")
for headers in "$prefix/include/node" /usr/include/node /usr/include/nodejs/src; do
    [ -f "$headers/node_api.h" ] && break
done
mkdir -p build
cc -O2 -Wall -Wextra -Werror -shared -fPIC -I"$headers" -I../../include -o build/ultraface.node \
    ultraface.c -L../../build/shared -lultraface -Wl,-rpath,"$PWD/../../build/shared"
[ "$(node example.js ../../conformance/example.ppm | wc -l)" -ge 2 ]
node --expose-gc test.js
