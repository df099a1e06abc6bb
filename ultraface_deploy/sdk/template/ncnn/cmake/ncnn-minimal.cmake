# Initial cache for a small static ncnn with only what the detector needs:
#   cmake -C ncnn-minimal.cmake -S NCNN_SOURCE -B build && cmake --build build --target install
cmake_policy(VERSION 3.16)
set(CMAKE_BUILD_TYPE Release CACHE STRING "")
foreach(option SHARED_LIB VULKAN PIXEL PIXEL_ROTATE PIXEL_AFFINE PIXEL_DRAWING C_API PLATFORM_API
               BF16 WEIGHT_QUANT BUILD_TOOLS BUILD_EXAMPLES BUILD_BENCHMARK BUILD_TESTS PYTHON)
    set(NCNN_${option} OFF CACHE BOOL "")
endforeach()

# gemm: the x86 convolutions are built on it; clip: the activation of INT8 layers. The rest is what the
# converted networks consist of, and what ncnn puts between layers by itself.
set(needed input convolution convolutiondepthwise relu clip binaryop unaryop eltwise concat slice split
           permute reshape softmax memorydata gemm padding packing cast flatten crop
           quantize dequantize requantize)
file(STRINGS "${CMAKE_SOURCE_DIR}/src/CMakeLists.txt" lines REGEX "^ncnn_add_layer")
foreach(line IN LISTS lines)
    string(REGEX REPLACE "^ncnn_add_layer\\(([A-Za-z0-9]+).*" "\\1" layer "${line}")
    string(TOLOWER "${layer}" layer)
    if(NOT layer IN_LIST needed)
        set(WITH_LAYER_${layer} OFF CACHE BOOL "")
    endif()
endforeach()
