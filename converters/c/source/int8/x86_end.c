static const kernels avx2_kernels = {"avx2", depthwise_avx2, multiply_avx2, first_avx2,
                                     resize_avx2, 0};
static const kernels avxvnni_kernels = {"avxvnni", depthwise_avx2, multiply_avxvnni, first_avxvnni,
                                        resize_avx2, 0};

static int has_avx2(void)
{
    return __builtin_cpu_supports("avx2");
}

static int has_avxvnni(void)
{
#if defined(__clang__) && __clang_major__ < 18
    return 0; /* cannot be asked for */
#else
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("avxvnni");
#endif
}
#endif
