#!/bin/sh
# What can be had without Android: README.md says what that is.
set -e
cd "$(dirname "$0")"
home=${JAVA_HOME:-$(dirname "$(dirname "$(readlink -f "$(command -v javac)")")")}
mkdir -p build/classes build/sample

echo "the classes and the sample, against stubs of Android"
javac --release 8 -Xlint:all,-options -Werror -d build/sample \
    $(find stubs ../java/src/main/java sample/src -name '*.java')

echo "the CMake project, with this machine's compiler, under the test of bindings/java"
javac -d build/classes $(find ../java/src -name '*.java')
cmake -S ultraface -B build/host -DCMAKE_C_FLAGS="-I$home/include -I$home/include/linux" >/dev/null
cmake --build build/host --target ultraface_jni >/dev/null
java -Xmx64m -XX:+UseSerialGC -Djava.awt.headless=true -Djava.library.path=build/host \
    -cp build/classes Test ../../conformance

zig=${ZIG:-python3 -m ziglang}
if $zig version >/dev/null 2>&1; then
    echo "the C files, for aarch64-linux-android, with the headers of musl"
    libc=$($zig env | sed -n 's/.*"lib_dir": "\(.*\)".*/\1/p')/libc/include
    for file in ../java/src/main/c/ultraface_jni.c ../../src/native/network.c; do
        [ -f "$file" ] || continue
        $zig cc -target aarch64-linux-android -O3 -fPIC -Wall -Werror -c \
            -isystem "$libc/aarch64-linux-musl" -isystem "$libc/generic-musl" \
            -isystem "$libc/aarch64-linux-any" -isystem "$libc/any-linux-any" \
            -I../../include -I"$home/include" -I"$home/include/linux" \
            -o "build/$(basename "$file" .c).o" "$file"
    done
else
    echo "no Zig: the C files are not compiled for aarch64-linux-android"
fi
