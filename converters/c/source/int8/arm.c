/* ---- Kernels for 64-bit Arm ---- */

#if defined(ARM64)
#include <arm_neon.h>
#if defined(__linux__)
#include <sys/auxv.h>
#endif

#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 32")
#endif
#define INLINE static inline __attribute__((always_inline))

/* Keep the compiler from mixing the steps before and after: it would run out of registers. */
#define IN_ORDER __asm__ volatile("" ::: "memory")
/* Keep it from taking a vector apart into values that need registers of their own. */
#define WHOLE(vector) __asm__("" : "+w"(vector))

/* 16 sums to bytes. */
INLINE int8x16_t bytes_neon(const int32x4_t *sums, int16x8_t low, int16x8_t high)
{
    const int16x8_t first = vqshrn_high_n_s32(vqshrn_n_s32(sums[0], SHIFT), sums[1], SHIFT);
    const int16x8_t second = vqshrn_high_n_s32(vqshrn_n_s32(sums[2], SHIFT), sums[3], SHIFT);
    return vqmovn_high_s16(vqmovn_s16(vqrdmulhq_s16(first, low)), vqrdmulhq_s16(second, high));
}

/* Write 16 outputs of each of `pixels` pixels: bytes, or sums without multipliers. */
INLINE void store_neon(const int16_t *multiplier, const int32x4_t *sums, void *out, int outputs,
                       const int pixels)
{
    if (!multiplier) {
        UNROLL for (int i = 0; i < 4 * pixels; i++)
            vst1q_s32((sum *)out + i / 4 * outputs + i % 4 * 4, sums[i]);
        return;
    }
    const int16x8_t low = vld1q_s16(multiplier), high = vld1q_s16(multiplier + 8);
    UNROLL for (int p = 0; p < pixels; p++)
        vst1q_s8((value *)out + p * outputs, bytes_neon(sums + 4 * p, low, high));
}

/* Four values, four times. */
INLINE int8x16_t four_neon(const value *at)
{
    int32_t four;
    memcpy(&four, at, 4);
    return vreinterpretq_s8_s32(vdupq_n_s32(four));
}

/* The same of each of `groups` fours; three are read as four. */
INLINE void four_each_neon(const value *at, int8x16_t *to, const int groups)
{
    if (groups == 1) {
        to[0] = four_neon(at);
        return;
    }
    int32x4_t all = vreinterpretq_s32_s8(vld1q_s8(at));
    WHOLE(all);
    to[0] = vreinterpretq_s8_s32(vdupq_laneq_s32(all, 0));
    to[1] = vreinterpretq_s8_s32(vdupq_laneq_s32(all, 1));
    to[2] = vreinterpretq_s8_s32(vdupq_laneq_s32(all, 2));
    if (groups == 4)
        to[3] = vreinterpretq_s8_s32(vdupq_laneq_s32(all, 3));
}

/* `count` vectors that lie side by side. */
INLINE void load_neon(const int8_t *from, int8x16_t *to, const int count)
{
    if (count == 4) {
        const int8x16x4_t all = vld1q_s8_x4(from);
        to[0] = all.val[0];
        to[1] = all.val[1];
        to[2] = all.val[2];
        to[3] = all.val[3];
    } else if (count == 3) {
        const int8x16x3_t all = vld1q_s8_x3(from);
        to[0] = all.val[0];
        to[1] = all.val[1];
        to[2] = all.val[2];
    } else {
        UNROLL for (int i = 0; i < count; i++)
            to[i] = vld1q_s8(from + 16 * i);
    }
}

/* Add up the products of `groups` fours of inputs and four outputs; up to four fit into 16 bits, as
   the generator saw to. The lanes of made[0] are four parts each of the first two outputs. */
INLINE void products_neon(const int8x16_t *weights, const int8x16_t *inputs, int16x8_t *made,
                          const int groups)
{
    made[0] = vmull_s8(vget_low_s8(weights[0]), vget_low_s8(inputs[0]));
    made[1] = vmull_high_s8(weights[0], inputs[0]);
    UNROLL for (int g = 1; g < groups; g++) {
        made[0] = vmlal_s8(made[0], vget_low_s8(weights[g]), vget_low_s8(inputs[g]));
        made[1] = vmlal_high_s8(made[1], weights[g], inputs[g]);
    }
}

/* Add a block to the sums of 16 outputs of `pixels` pixels, of which every second lane has a half;
   the first block begins them. */
INLINE void block_neon(const int8_t *w, const value *line, int apart, int32x4_t *halves,
                       const int pixels, const int groups, const int first)
{
    int8x16_t inputs[4 * 2];
    UNROLL for (int p = 0; p < pixels; p++)
        four_each_neon(line + p * apart, inputs + p * 4, groups);
    UNROLL for (int q = 0; q < 4; q++) {
        int8x16_t weights[4];
        load_neon(w + 16 * VECTOR(0, q, groups), weights, groups);
        UNROLL for (int p = 0; p < pixels; p++) {
            int16x8_t made[2];
            int32x4_t *to = halves + p * 8 + 2 * q;
            products_neon(weights, inputs + p * 4, made, groups);
            UNROLL for (int i = 0; i < 2; i++)
                to[i] = first ? vpaddlq_s16(made[i]) : vpadalq_s16(to[i], made[i]);
            IN_ORDER;
        }
    }
}

/* 16 outputs of `pixels` pixels of `inputs` values. */
INLINE void tile_neon(const int8_t *w, const int32_t *bias, const int16_t *multiplier,
                      const value *line, int inputs, void *out, int outputs, const int pixels)
{
    int32x4_t halves[8 * 2], sums[4 * 2];
    int k = 0;
    if (inputs < 16)
        UNROLL for (int i = 0; i < 8 * pixels; i++)
            halves[i] = vdupq_n_s32(0);
    else
        block_neon(w, line, inputs, halves, pixels, 4, 1);
    for (k = inputs < 16 ? 0 : 16; k + 16 <= inputs; k += 16)
        block_neon(w + k * LANES, line + k, inputs, halves, pixels, 4, 0);
    if (inputs - k == 12)
        block_neon(w + k * LANES, line + k, inputs, halves, pixels, 3, 0);
    else if (inputs - k == 8)
        block_neon(w + k * LANES, line + k, inputs, halves, pixels, 2, 0);
    else if (inputs - k == 4)
        block_neon(w + k * LANES, line + k, inputs, halves, pixels, 1, 0);
    UNROLL for (int q = 0; q < 4; q++) {
        const int32x4_t constant = vld1q_s32(bias + 4 * q);
        UNROLL for (int p = 0; p < pixels; p++) {
            const int32x4_t *half = halves + p * 8 + 2 * q;
            sums[4 * p + q] = vaddq_s32(vpaddq_s32(half[0], half[1]), constant);
        }
    }
    store_neon(multiplier, sums, out, outputs, pixels);
}

/* 16 outputs of all pixels of 16 values: the weights stay in registers. */
static void narrow_neon(const int8_t *w, const int32_t *bias, const int16_t *multiplier,
                        const value *line, char *out, int pixels, size_t step)
{
    int8x16_t weights[16];
    int32x4_t constants[4];
    UNROLL for (int q = 0; q < 4; q++) {
        load_neon(w + 64 * q, weights + 4 * q, 4);
        constants[q] = vld1q_s32(bias + 4 * q);
    }
    for (int x = 0; x < pixels; x++, line += 16, out += step) {
        int8x16_t inputs[4];
        int32x4_t sums[4];
        four_each_neon(line, inputs, 4);
        UNROLL for (int q = 0; q < 4; q++) {
            int16x8_t made[2];
            UNROLL for (int g = 0; g < 4; g++)
                WHOLE(weights[4 * q + g]);
            products_neon(weights + 4 * q, inputs, made, 4);
            sums[q] = vaddq_s32(vpaddq_s32(vpaddlq_s16(made[0]), vpaddlq_s16(made[1])),
                                constants[q]);
            IN_ORDER;
        }
        store_neon(multiplier, sums, out, 0, 1);
    }
}

static void multiply_neon(const matrix *m, const value *lines, void *out, int pixels)
{
    const int inputs = m->inputs, outputs = m->outputs;
    const size_t size = m->multiplier ? sizeof(value) : sizeof(sum);
    const size_t step = (size_t)outputs * size;
    for (int n = 0; n < outputs; n += LANES) {
        const int8_t *w = m->weights + n * inputs;
        const int32_t *bias = m->bias + n;
        const int16_t *multiplier = m->multiplier ? m->multiplier + n : 0;
        const value *line = lines;
        char *to = (char *)out + (size_t)n * size;
        int x = 0;
        if (inputs == 16) {
            narrow_neon(w, bias, multiplier, line, to, pixels, step);
            continue;
        }
        for (; x + 2 <= pixels; x += 2, line += 2 * inputs, to += 2 * step)
            tile_neon(w, bias, multiplier, line, inputs, to, outputs, 2);
        if (x < pixels)
            tile_neon(w, bias, multiplier, line, inputs, to, outputs, 1);
    }
}

/* The ninth inputs of the three rows, beside each other: of each group, which has one, the others
   have no weight. */
INLINE int8x16_t ninth_neon(const int8_t *w, int q)
{
    const int row = 12 * LANES, place = 16 * VECTOR(2, q, 3);
    int32x4_t ninth[3];
    UNROLL for (int r = 0; r < 3; r++)
        ninth[r] = vreinterpretq_s32_s8(vld1q_s8(w + r * row + place));
    const int32x4_t two = vsliq_n_s32(ninth[0], ninth[1], 8);
    return vreinterpretq_s8_s32(vsliq_n_s32(two, ninth[2], 16));
}

/* Seven groups of inputs of `pixels` neighbours: two of each row, and the ninth of each row. */
INLINE void first_inputs_neon(const value *const rows[3], int offset, int8x16_t *inputs,
                              const int pixels)
{
    static const uint8_t ninths[2][16] = {{8, 24, 40, 63, 8, 24, 40, 63, 8, 24, 40, 63, 8, 24, 40, 63},
                                          {14, 30, 46, 63, 14, 30, 46, 63, 14, 30, 46, 63, 14, 30, 46, 63}};
    int8x16x3_t all;
    UNROLL for (int r = 0; r < 3; r++)
        all.val[r] = vld1q_s8(rows[r] + offset);
    UNROLL for (int p = 0; p < pixels; p++) {
        UNROLL for (int r = 0; r < 3; r++) {
            const int32x4_t eight = vreinterpretq_s32_s8(p ? vextq_s8(all.val[r], all.val[r], 6) : all.val[r]);
            inputs[7 * p + 2 * r] = vreinterpretq_s8_s32(vdupq_laneq_s32(eight, 0));
            inputs[7 * p + 2 * r + 1] = vreinterpretq_s8_s32(vdupq_laneq_s32(eight, 1));
        }
        inputs[7 * p + 6] = vqtbl3q_s8(all, vld1q_u8(ninths[p]));
    }
}

/* 16 outputs of `pixels` neighbours. */
INLINE void first_pixels_neon(const int8_t *packed, const int32_t *bias,
                              const int16_t *multiplier, const value *const rows[3], int offset,
                              value *out, int outputs, const int pixels)
{
    int8x16_t inputs[7 * 2];
    int32x4_t sums[4 * 2];
    first_inputs_neon(rows, offset, inputs, pixels);
    UNROLL for (int q = 0; q < 4; q++) {
        int8x16_t weights[7];
        load_neon(packed + 16 * 7 * q, weights, 4);
        load_neon(packed + 16 * (7 * q + 4), weights + 4, 3);
        UNROLL for (int p = 0; p < pixels; p++) {
            int16x8_t made[2];
            int32x4_t halves[2];
            UNROLL for (int r = 0; r < 3; r++) {
                products_neon(weights + 2 * r, inputs + 7 * p + 2 * r, made, r < 2 ? 2 : 3);
                UNROLL for (int i = 0; i < 2; i++)
                    halves[i] = r ? vpadalq_s16(halves[i], made[i]) : vpaddlq_s16(made[i]);
            }
            sums[4 * p + q] = vaddq_s32(vpaddq_s32(halves[0], halves[1]), vld1q_s32(bias + 4 * q));
            IN_ORDER;
        }
    }
    store_neon(multiplier, sums, out, outputs, pixels);
}

static void first_neon(const matrix *m, const value *const rows[3], value *out, int pixels)
{
    const int outputs = m->outputs;
    for (int n = 0; n < outputs; n += LANES) {
        const int8_t *w = m->weights + n * m->inputs;
        int8_t packed[4 * 7 * 16];
        for (int q = 0; q < 4; q++) {
            for (int g = 0; g < 6; g++)
                vst1q_s8(packed + 16 * (7 * q + g),
                         vld1q_s8(w + g / 2 * 12 * LANES + 16 * VECTOR(g % 2, q, 3)));
            vst1q_s8(packed + 16 * (7 * q + 6), ninth_neon(w, q));
        }
        int x = 0;
        for (; x + 2 <= pixels; x += 2)
            first_pixels_neon(packed, m->bias + n, m->multiplier + n, rows, 6 * x,
                              out + x * outputs + n, outputs, 2);
        if (x < pixels)
            first_pixels_neon(packed, m->bias + n, m->multiplier + n, rows, 6 * x,
                              out + x * outputs + n, outputs, 1);
    }
}

/* One row's three products of 16 channels, added to their sums; three fit into 16 bits. */
INLINE void taps_neon(const int8x16_t *weights, const int8x16_t *inputs, int32x4_t *sums)
{
    int16x8_t low = vmull_s8(vget_low_s8(weights[0]), vget_low_s8(inputs[0]));
    int16x8_t high = vmull_high_s8(weights[0], inputs[0]);
    UNROLL for (int dx = 1; dx < 3; dx++) {
        low = vmlal_s8(low, vget_low_s8(weights[dx]), vget_low_s8(inputs[dx]));
        high = vmlal_high_s8(high, weights[dx], inputs[dx]);
    }
    sums[0] = vaddw_s16(sums[0], vget_low_s16(low));
    sums[1] = vaddw_high_s16(sums[1], low);
    sums[2] = vaddw_s16(sums[2], vget_low_s16(high));
    sums[3] = vaddw_high_s16(sums[3], high);
}

/* `many` neighbouring pixels, 16 channels. */
INLINE void depthwise_pixels_neon(const filter *f, int c, int8x16_t weights[3][3],
                                  const value *const rows[3], int offset, value *out, int apart,
                                  const int many, const int stride)
{
    int32x4_t sums[2][4];
    UNROLL for (int p = 0; p < many; p++)
        UNROLL for (int q = 0; q < 4; q++)
            sums[p][q] = vld1q_s32(f->bias + c + 4 * q);
    UNROLL for (int dy = 0; dy < 3; dy++) {
        int8x16_t inputs[5];
        UNROLL for (int i = 0; i < (many - 1) * stride + 3; i++)
            inputs[i] = vld1q_s8(rows[dy] + offset + i * f->channels);
        UNROLL for (int p = 0; p < many; p++) {
            taps_neon(weights[dy], inputs + p * stride, sums[p]);
            IN_ORDER;
        }
    }
    UNROLL for (int p = 0; p < many; p++)
        vst1q_s8(out + p * apart, bytes_neon(sums[p], vld1q_s16(f->multiplier + c),
                                             vld1q_s16(f->multiplier + c + 8)));
}

INLINE void depthwise_16_neon(const filter *f, int c, const value *const rows[3], value *out,
                              int pixels, const int stride, int apart)
{
    int8x16_t weights[3][3];
    UNROLL for (int dx = 0; dx < 3; dx++) {
        const int8x16x4_t column = vld4q_s8(f->weights + c * 12 + dx * 4 * LANES);
        UNROLL for (int dy = 0; dy < 3; dy++)
            weights[dy][dx] = column.val[dy];
    }
    const int step = stride * f->channels;
    int x = 0;
    for (; x + 2 <= pixels; x += 2)
        depthwise_pixels_neon(f, c, weights, rows, c + x * step, out + c + x * apart, apart, 2, stride);
    if (x < pixels)
        depthwise_pixels_neon(f, c, weights, rows, c + x * step, out + c + x * apart, apart, 1, stride);
}

static void depthwise_neon(const filter *f, const value *const rows[3], value *out, int pixels,
                           int stride, int apart)
{
    for (int c = 0; c < f->channels; c += LANES)
        if (stride == 1)
            depthwise_16_neon(f, c, rows, out, pixels, 1, apart);
        else
            depthwise_16_neon(f, c, rows, out, pixels, 2, apart);
}

/* B, G, R of a column and a remainder, 2 bits behind the point. */
INLINE int16x4_t column_neon(const uint8_t *upper, const uint8_t *lower, uint8x8_t above,
                             uint8x8_t below, const column *at)
{
    const uint16x8_t down = vmlal_u8(vmull_u8(vld1_u8(upper + at->left), above),
                                     vld1_u8(lower + at->left), below);
    const int16x8_t pair = vreinterpretq_s16_u16(down);
    const int16x4_t weights = vld1_s16((const int16_t *)(const void *)at); /* in lanes 2 and 3 */
    int32x4_t sums = vmull_lane_s16(vget_low_s16(pair), weights, 2);
    sums = vmlal_lane_s16(sums, vget_low_s16(vextq_s16(pair, pair, 3)), weights, 3);
    return vshrn_n_s32(sums, DOWN + ACROSS - 2);
}

/* All columns, four at once; the last four overlap those before. Writes 4 bytes behind them. */
static int resize_neon(const uint8_t *upper, const uint8_t *lower, int below,
                       const column *columns, int count, const uint8_t *next, value *row)
{
    static const uint8_t squeeze[16] = {0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 15, 15, 15, 15};
    const uint8x16_t order = vld1q_u8(squeeze);
    const uint8x8_t above = vdup_n_u8((uint8_t)((1 << DOWN) - below));
    const uint8x8_t under = vdup_n_u8((uint8_t)below);
    if (count < 4)
        return 0;
    for (int x = 0, fetched = 0; x < count; x += 4) {
        const int start = x + 4 > count ? count - 4 : x;
        const column *at = columns + start;
        int16x4_t made[4];
        UNROLL for (int i = 0; i < 4; i++)
            made[i] = column_neon(upper, lower, above, under, at + i);
        const int8x8_t first = vrshrn_n_s16(vcombine_s16(made[0], made[1]), 2);
        const int8x16_t four = vrshrn_high_n_s16(first, vcombine_s16(made[2], made[3]), 2);
        const uint8x16_t bytes = vqtbl1q_u8(vreinterpretq_u8_s8(four), order);
        vst1q_u8((uint8_t *)row + 3 * start, veorq_u8(bytes, vdupq_n_u8(128)));
        for (; fetched < at[3].left; fetched += 64) {
            __builtin_prefetch(next + fetched);
            __builtin_prefetch(next + (lower - upper) + fetched);
        }
    }
    return count;
}

static const kernels neon_kernels = {"neon", depthwise_neon, multiply_neon, first_neon,
                                     resize_neon};

/* ---- With dot products (Cortex-A75 and newer) ---- */

/* Clang has the intrinsics for functions of another target since version 16. */
#if defined(__ARM_FEATURE_DOTPROD) || !defined(__clang__) || __clang_major__ >= 16
#define ARM64_DOT 1
#if defined(__ARM_FEATURE_DOTPROD)
#define DOT
#elif defined(__clang__)
#define DOT __attribute__((target("dotprod")))
#else
#define DOT __attribute__((target("arch=armv8.2-a+dotprod")))
#endif

/* Add a block to 16 outputs of `pixels` pixels. What is read behind a row has no weight. */
DOT INLINE void block_dot(const int8_t *w, const value *line, int apart, int32x4_t *sums,
                          const int pixels, const int groups)
{
    int8x16_t inputs[4];
    UNROLL for (int p = 0; p < pixels; p++)
        inputs[p] = vld1q_s8(line + p * apart);
    UNROLL for (int q = 0; q < 4; q++) {
        int8x16_t weights[4];
        load_neon(w + 16 * VECTOR(0, q, groups), weights, groups);
        UNROLL for (int g = 0; g < groups; g++)
            UNROLL for (int p = 0; p < pixels; p++) {
                int32x4_t *to = &sums[p * 4 + q];
                switch (g) {
                case 0:
                    *to = vdotq_laneq_s32(*to, weights[0], inputs[p], 0);
                    break;
                case 1:
                    *to = vdotq_laneq_s32(*to, weights[1], inputs[p], 1);
                    break;
                case 2:
                    *to = vdotq_laneq_s32(*to, weights[2], inputs[p], 2);
                    break;
                default:
                    *to = vdotq_laneq_s32(*to, weights[3], inputs[p], 3);
                }
            }
    }
}

DOT INLINE void tile_dot(const matrix *m, int n, const value *const *lines, int rows, int run,
                         int apart, int offset, void *out, const int pixels)
{
    int32x4_t sums[4 * 4];
    const int8_t *w = m->weights + n * m->inputs;
    UNROLL for (int p = 0; p < pixels; p++)
        UNROLL for (int q = 0; q < 4; q++)
            sums[p * 4 + q] = vld1q_s32(m->bias + n + 4 * q);
    for (int r = 0; r < rows; r++) {
        const value *line = lines[r] + offset;
        int k = 0;
        for (; k + 16 <= run; k += 16, w += 16 * LANES)
            block_dot(w, line + k, apart, sums, pixels, 4);
        if (run - k == 12)
            block_dot(w, line + k, apart, sums, pixels, 3);
        else if (run - k == 8)
            block_dot(w, line + k, apart, sums, pixels, 2);
        else if (run - k == 4)
            block_dot(w, line + k, apart, sums, pixels, 1);
        w += (run - k) * LANES;
    }
    store_neon(m->multiplier ? m->multiplier + n : 0, sums, out, m->outputs, pixels);
}

DOT static void rows_dot(const matrix *m, const value *const *lines, int rows, int run, int apart,
                         void *out, int pixels)
{
    const size_t size = m->multiplier ? sizeof(value) : sizeof(sum);
    const size_t step = (size_t)m->outputs * size;
    for (int n = 0; n < m->outputs; n += LANES) {
        char *to = (char *)out + (size_t)n * size;
        int x = 0;
        for (; x + 4 <= pixels; x += 4, to += 4 * step)
            tile_dot(m, n, lines, rows, run, apart, x * apart, to, 4);
        for (; x < pixels; x++, to += step)
            tile_dot(m, n, lines, rows, run, apart, x * apart, to, 1);
    }
}

DOT static void multiply_dot(const matrix *m, const value *lines, void *out, int pixels)
{
    rows_dot(m, &lines, 1, m->inputs, m->inputs, out, pixels);
}

DOT static void first_dot(const matrix *m, const value *const rows[3], value *out, int pixels)
{
    rows_dot(m, rows, 3, 12, 6, out, pixels);
}

/* A column of three rows, four bytes a channel. */
DOT INLINE void column_dot(const value *const rows[3], int offset, int8x16_t *to)
{
    const int8x16_t top = vld1q_s8(rows[0] + offset), middle = vld1q_s8(rows[1] + offset);
    const int8x16_t bottom = vld1q_s8(rows[2] + offset);
    const int16x8_t a = vreinterpretq_s16_s8(vzip1q_s8(top, middle));
    const int16x8_t b = vreinterpretq_s16_s8(vzip2q_s8(top, middle));
    const int16x8_t c = vreinterpretq_s16_s8(vzip1q_s8(bottom, bottom));
    const int16x8_t d = vreinterpretq_s16_s8(vzip2q_s8(bottom, bottom));
    to[0] = vreinterpretq_s8_s16(vzip1q_s16(a, c));
    to[1] = vreinterpretq_s8_s16(vzip2q_s16(a, c));
    to[2] = vreinterpretq_s8_s16(vzip1q_s16(b, d));
    to[3] = vreinterpretq_s8_s16(vzip2q_s16(b, d));
}

/* One pixel of 16 channels from three columns. */
DOT INLINE void pixel_dot(const filter *f, int c, int8x16_t weights[3][4],
                          const int8x16_t *left, const int8x16_t *middle, const int8x16_t *right,
                          value *out)
{
    int32x4_t sums[4];
    UNROLL for (int q = 0; q < 4; q++) {
        sums[q] = vdotq_s32(vld1q_s32(f->bias + c + 4 * q), weights[0][q], left[q]);
        sums[q] = vdotq_s32(sums[q], weights[1][q], middle[q]);
        sums[q] = vdotq_s32(sums[q], weights[2][q], right[q]);
    }
    vst1q_s8(out, bytes_neon(sums, vld1q_s16(f->multiplier + c), vld1q_s16(f->multiplier + c + 8)));
}

/* The columns change places instead of being copied, so three pixels make a round. */
DOT INLINE void depthwise_16_dot(const filter *f, int c, const value *const rows[3], value *out,
                                 int pixels, int apart)
{
    const int step = f->channels;
    int8x16_t weights[3][4], columns[3][4];
    UNROLL for (int dx = 0; dx < 3; dx++)
        UNROLL for (int q = 0; q < 4; q++)
            weights[dx][q] = vld1q_s8(f->weights + c * 12 + dx * 4 * LANES + 16 * q);
    int at = c;
    column_dot(rows, at, columns[0]);
    column_dot(rows, at += step, columns[1]);
    for (int x = 0; x < pixels; x += 3) {
        UNROLL for (int i = 0; i < 3; i++) {
            if (x + i == pixels)
                return;
            column_dot(rows, at += step, columns[(i + 2) % 3]);
            pixel_dot(f, c, weights, columns[i], columns[(i + 1) % 3], columns[(i + 2) % 3], out + c);
            out += apart;
        }
    }
}

/* The same with stride 2, where the right column becomes the left one. */
DOT INLINE void depthwise_half_16_dot(const filter *f, int c, const value *const rows[3],
                                      value *out, int pixels, int apart)
{
    const int step = f->channels;
    int8x16_t weights[3][4], columns[3][4];
    UNROLL for (int dx = 0; dx < 3; dx++)
        UNROLL for (int q = 0; q < 4; q++)
            weights[dx][q] = vld1q_s8(f->weights + c * 12 + dx * 4 * LANES + 16 * q);
    int at = c;
    column_dot(rows, at, columns[0]);
    for (int x = 0; x < pixels; x += 2) {
        UNROLL for (int i = 0; i < 2; i++) {
            if (x + i == pixels)
                return;
            column_dot(rows, at += step, columns[1]);
            column_dot(rows, at += step, columns[2 - 2 * i]);
            pixel_dot(f, c, weights, columns[2 * i], columns[1], columns[2 - 2 * i], out + c);
            out += apart;
        }
    }
}

DOT static void depthwise_dot(const filter *f, const value *const rows[3], value *out, int pixels,
                              int stride, int apart)
{
    for (int c = 0; c < f->channels; c += LANES)
        if (stride == 1)
            depthwise_16_dot(f, c, rows, out, pixels, apart);
        else
            depthwise_half_16_dot(f, c, rows, out, pixels, apart);
}

static const kernels dot_kernels = {"dotprod", depthwise_dot, multiply_dot, first_dot, resize_neon};

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

I8MM static void multiply_i8mm(const matrix *m, const value *lines, void *out, int pixels)
{
    if (m->inputs % 8) {
        multiply_dot(m, lines, out, pixels);
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

static const kernels i8mm_kernels = {"i8mm", depthwise_dot, multiply_i8mm, first_dot, resize_neon};
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
