find_package(ncnn QUIET)
if(NOT ncnn_FOUND)
    message(FATAL_ERROR "ncnn was not found: build it as README.md says and pass "
                        "-Dncnn_DIR=<its install folder>/lib/cmake/ncnn")
endif()
set(RUNTIME_SOURCE src/network_ncnn.cpp)
set(RUNTIME_LIBRARY ncnn)
