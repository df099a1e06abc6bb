/* ---- With matrix products (Neoverse V1, Apple M2 and newer) ---- */

#if defined(__ARM_FEATURE_MATMUL_INT8)
#define I8MM
#elif defined(__clang__)
#define I8MM __attribute__((target("i8mm,dotprod")))
#else
#define I8MM __attribute__((target("arch=armv8.2-a+dotprod+i8mm")))
#endif

/* 16 outputs of 4 pixels: every product takes 8 inputs of 2 pixels and of 2 outputs. */
I8MM INLINE void tile_i8mm(const matrix *m, int n, const value *line, void *out)
{
    /* tiles[pair of pixels][j]: outputs j % 2 and j % 2 + 2 of four, four starting at j / 2 * 4 */
    int32x4_t tiles[2][8];
    const int inputs = m->inputs;
    const int8_t *w = m->weights + n * inputs;
    UNROLL for (int j = 0; j < 8; j++) {
        const int32x4_t bias = vld1q_s32(m->bias + n + j / 2 * 4);
        const int32x4_t two = j % 2 ? vuzp2q_s32(bias, bias) : vuzp1q_s32(bias, bias);
        UNROLL for (int p = 0; p < 2; p++)
            tiles[p][j] = two;
    }
    for (int k = 0; k + 8 <= inputs; k += 8) {
        const int groups = inputs - k / 16 * 16 < 16 ? 2 : 4;
        const int8_t *block = w + k / 16 * 16 * LANES;
        int8x16_t eight[2];
        UNROLL for (int p = 0; p < 2; p++)
            eight[p] = vcombine_s8(vld1_s8(line + 2 * p * inputs + k),
                                   vld1_s8(line + (2 * p + 1) * inputs + k));
        UNROLL for (int q = 0; q < 4; q++) {
            const int8_t *at = block + 16 * VECTOR(k % 16 / 4, q, groups);
            const int32x4_t near = vreinterpretq_s32_s8(vld1q_s8(at));
            const int32x4_t far = vreinterpretq_s32_s8(vld1q_s8(at + 16));
            const int8x16_t even = vreinterpretq_s8_s32(vtrn1q_s32(near, far));
            const int8x16_t odd = vreinterpretq_s8_s32(vtrn2q_s32(near, far));
            UNROLL for (int p = 0; p < 2; p++) {
                tiles[p][2 * q] = vmmlaq_s32(tiles[p][2 * q], eight[p], even);
                tiles[p][2 * q + 1] = vmmlaq_s32(tiles[p][2 * q + 1], eight[p], odd);
            }
        }
    }
    int32x4_t sums[16];
    UNROLL for (int p = 0; p < 2; p++)
        UNROLL for (int q = 0; q < 4; q++) {
            /* rows: pixel 0 and 1; columns: outputs 0, 2 and 1, 3 */
            const int32x4_t even = tiles[p][2 * q], odd = tiles[p][2 * q + 1];
            sums[8 * p + q] = vzip1q_s32(even, odd);
            sums[8 * p + 4 + q] = vzip2q_s32(even, odd);
        }
    store_neon(m->multiplier ? m->multiplier + n : 0, sums, out, m->outputs, 4);
}

I8MM static void multiply_i8mm(const matrix *m, const value *lines, void *out, int pixels, ahead *next)
{
    if (m->inputs % 8) {
        multiply_dot(m, lines, out, pixels, next);
        return;
    }
    const size_t size = m->multiplier ? sizeof(value) : sizeof(sum);
    const size_t step = (size_t)m->outputs * size;
    for (int n = 0; n < m->outputs; n += LANES) {
        char *to = (char *)out + (size_t)n * size;
        int x = 0;
        for (; x + 4 <= pixels; x += 4, to += 4 * step)
            tile_i8mm(m, n, lines + x * m->inputs, to);
        for (; x < pixels; x++, to += step)
            tile_dot(m, n, &lines, 1, m->inputs, m->inputs, x * m->inputs, to, 1);
    }
}

static const kernels i8mm_kernels = {"i8mm", depthwise_dot, multiply_i8mm, first_dot,
                                     resize_neon, 0};
#else
/* A compiler that does not know the instructions. */
#define dot_kernels neon_kernels
#define i8mm_kernels neon_kernels
#endif

/* Bits of Linux's AT_HWCAP and AT_HWCAP2; elsewhere what the compiler was told counts. */
static int has_dot(void)
{
#if defined(__ARM_FEATURE_DOTPROD)
    return 1;
#elif defined(__linux__) && defined(ARM64_DOT)
    return (getauxval(AT_HWCAP) >> 20 & 1) != 0;
#else
    return 0;
#endif
}

static int has_i8mm(void)
{
#if defined(__ARM_FEATURE_MATMUL_INT8)
    return 1;
#elif defined(__linux__) && defined(ARM64_DOT)
    return has_dot() && (getauxval(AT_HWCAP2) >> 13 & 1) != 0;
#else
    return 0;
#endif
}
#endif
