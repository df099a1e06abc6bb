# Each costs 25 to 220 kB of memory, depending on network and precision.
set(ULTRAFACE_THREADS 4 CACHE STRING "The most threads that can share one picture")
set(RUNTIME_SOURCE src/network_c.cpp src/native/network.c)
set(RUNTIME_LIBRARY "")
set_source_files_properties(src/native/network.c PROPERTIES
    COMPILE_OPTIONS -O3
    COMPILE_DEFINITIONS ULTRAFACE_THREADS=${ULTRAFACE_THREADS})
