#!/bin/sh
# Compiles classes, JNI library, example and test with the JDK, and runs the test.
set -e
cd "$(dirname "$0")"
home=${JAVA_HOME:-$(dirname "$(dirname "$(readlink -f "$(command -v javac)")")")}
mkdir -p build/classes
javac --release 8 -Xlint:all,-options -Werror -d build/classes \
    src/main/java/ultraface/*.java src/awt/java/ultraface/awt/*.java
javac -Xlint:all -Werror -cp build/classes -d build/classes src/example/*.java src/test/*.java
cc -O2 -Wall -Wextra -Werror -shared -fPIC -I"$home/include" -I"$home/include/linux" \
    -I../../include -o build/libultraface_jni.so src/main/c/ultraface_jni.c \
    -L../../build/shared -lultraface -Wl,-rpath,"$PWD/../../build/shared"
run="java -Xmx64m -XX:+UseSerialGC -Xcheck:jni -Djava.awt.headless=true
    -Djava.library.path=build -cp build/classes"
$run Test ../../conformance
