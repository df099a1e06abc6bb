/* ---- Kernels for 64-bit Arm ---- */

#if defined(__aarch64__) && defined(__ARM_NEON) && !defined(ULTRAFACE_PORTABLE)
#define ARM64 1
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

/* 16 sums to bytes. */
INLINE int8x16_t bytes_neon(const int32x4_t *sums, int16x8_t low, int16x8_t high)
{
    const int16x8_t first = vqshrn_high_n_s32(vqshrn_n_s32(sums[0], SHIFT), sums[1], SHIFT);
    const int16x8_t second = vqshrn_high_n_s32(vqshrn_n_s32(sums[2], SHIFT), sums[3], SHIFT);
    return vqmovn_high_s16(vqmovn_s16(vqrdmulhq_s16(first, low)), vqrdmulhq_s16(second, high));
}

/* Write 16 outputs of each of `pixels` pixels, from output `n`. */
INLINE void store_neon(const matrix *m, int n, const int32x4_t *sums, void *out, const int pixels)
{
    if (!m->multiplier) {
        UNROLL for (int i = 0; i < 4 * pixels; i++)
            vst1q_s32((sum *)out + i / 4 * m->outputs + n + i % 4 * 4, sums[i]);
        return;
    }
    const int16x8_t low = vld1q_s16(m->multiplier + n), high = vld1q_s16(m->multiplier + n + 8);
    UNROLL for (int p = 0; p < pixels; p++)
        vst1q_s8((value *)out + p * m->outputs + n, bytes_neon(sums + 4 * p, low, high));
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
    const int32x4_t all = vreinterpretq_s32_s8(vld1q_s8(at));
    to[0] = vreinterpretq_s8_s32(vdupq_laneq_s32(all, 0));
    to[1] = vreinterpretq_s8_s32(vdupq_laneq_s32(all, 1));
    to[2] = vreinterpretq_s8_s32(vdupq_laneq_s32(all, 2));
    if (groups == 4)
        to[3] = vreinterpretq_s8_s32(vdupq_laneq_s32(all, 3));
}

/* Add groups * 4 inputs to the sums of 16 outputs of `pixels` pixels. Products of up to four groups
   fit into 16 bits: the generator saw to it. Of an output's sum every second lane has a half. */
INLINE void groups_neon(const int8_t *w, const value *line, int apart, int32x4_t *halves,
                        const int pixels, const int groups)
{
    int8x16_t inputs[4 * 2];
    UNROLL for (int p = 0; p < pixels; p++)
        four_each_neon(line + p * apart, inputs + p * 4, groups);
    UNROLL for (int q = 0; q < 4; q++) {
        int8x16_t weights[4];
        UNROLL for (int g = 0; g < groups; g++)
            weights[g] = vld1q_s8(w + g * 4 * LANES + q * 16);
        UNROLL for (int p = 0; p < pixels; p++) {
            int16x8_t low = vmull_s8(vget_low_s8(weights[0]), vget_low_s8(inputs[p * 4]));
            int16x8_t high = vmull_high_s8(weights[0], inputs[p * 4]);
            UNROLL for (int g = 1; g < groups; g++) {
                low = vmlal_s8(low, vget_low_s8(weights[g]), vget_low_s8(inputs[p * 4 + g]));
                high = vmlal_high_s8(high, weights[g], inputs[p * 4 + g]);
            }
            halves[p * 8 + 2 * q] = vpadalq_s16(halves[p * 8 + 2 * q], low);
            halves[p * 8 + 2 * q + 1] = vpadalq_s16(halves[p * 8 + 2 * q + 1], high);
            IN_ORDER;
        }
    }
}

/* 16 outputs of `pixels` pixels, whose inputs are `rows` runs of `run` values. */
INLINE void tile_neon(const matrix *m, int n, const value *const *lines, int rows, int run,
                      int apart, int offset, void *out, const int pixels)
{
    int32x4_t halves[8 * 2];
    const int8_t *w = m->weights + n * m->inputs;
    UNROLL for (int q = 0; q < 4; q++) {
        const int32x4_t bias = vld1q_s32(m->bias + n + 4 * q), none = vdupq_n_s32(0);
        UNROLL for (int p = 0; p < pixels; p++) {
            halves[p * 8 + 2 * q] = vzip1q_s32(bias, none);
            halves[p * 8 + 2 * q + 1] = vzip2q_s32(bias, none);
        }
    }
    for (int r = 0; r < rows; r++) {
        const value *line = lines[r] + offset;
        int k = 0;
        for (; k + 16 <= run; k += 16, w += 16 * LANES)
            groups_neon(w, line + k, apart, halves, pixels, 4);
        if (k + 12 <= run) {
            groups_neon(w, line + k, apart, halves, pixels, 3);
            k += 12;
            w += 12 * LANES;
        }
        for (; k < run; k += 4, w += 4 * LANES)
            groups_neon(w, line + k, apart, halves, pixels, 1);
    }
    int32x4_t sums[4 * 2];
    UNROLL for (int i = 0; i < 4 * pixels; i++)
        sums[i] = vpaddq_s32(halves[2 * i], halves[2 * i + 1]);
    store_neon(m, n, sums, out, pixels);
}

static void rows_neon(const matrix *m, const value *const *lines, int rows, int run, int apart,
                      void *out, int pixels)
{
    const size_t size = m->multiplier ? sizeof(value) : sizeof(sum);
    const size_t step = (size_t)m->outputs * size;
    for (int n = 0; n < m->outputs; n += LANES) {
        char *to = (char *)out;
        int x = 0;
        for (; x + 2 <= pixels; x += 2, to += 2 * step)
            tile_neon(m, n, lines, rows, run, apart, x * apart, to, 2);
        if (x < pixels)
            tile_neon(m, n, lines, rows, run, apart, x * apart, to, 1);
    }
}

static void multiply_neon(const matrix *m, const value *lines, void *out, int pixels)
{
    rows_neon(m, &lines, 1, m->inputs, m->inputs, out, pixels);
}

static void first_neon(const matrix *m, const value *const rows[3], value *out, int pixels)
{
    rows_neon(m, rows, 3, 12, 6, out, pixels);
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

/* 16 outputs of `pixels` pixels; `inputs` holds 16 values of each, of which `groups` * 4 count. */
DOT INLINE void groups_dot(const int8_t *w, const int8x16_t *inputs, int32x4_t *sums,
                           const int pixels, const int groups)
{
    UNROLL for (int g = 0; g < groups; g++) {
        const int8x16x4_t all = vld1q_s8_x4(w + g * 4 * LANES);
        UNROLL for (int q = 0; q < 4; q++) {
            const int8x16_t weights = all.val[q];
            UNROLL for (int p = 0; p < pixels; p++) {
                int32x4_t *to = &sums[p * 4 + q];
                switch (g) {
                case 0:
                    *to = vdotq_laneq_s32(*to, weights, inputs[p], 0);
                    break;
                case 1:
                    *to = vdotq_laneq_s32(*to, weights, inputs[p], 1);
                    break;
                case 2:
                    *to = vdotq_laneq_s32(*to, weights, inputs[p], 2);
                    break;
                default:
                    *to = vdotq_laneq_s32(*to, weights, inputs[p], 3);
                }
            }
        }
    }
}

DOT INLINE void tile_dot(const matrix *m, int n, const value *const *lines, int rows, int run,
                         int apart, int offset, void *out, const int pixels)
{
    int32x4_t sums[4 * 4];
    int8x16_t inputs[4];
    const int8_t *w = m->weights + n * m->inputs;
    UNROLL for (int p = 0; p < pixels; p++)
        UNROLL for (int q = 0; q < 4; q++)
            sums[p * 4 + q] = vld1q_s32(m->bias + n + 4 * q);
    for (int r = 0; r < rows; r++) {
        const value *line = lines[r] + offset;
        int k = 0;
        for (; k + 16 <= run; k += 16, w += 16 * LANES) {
            UNROLL for (int p = 0; p < pixels; p++)
                inputs[p] = vld1q_s8(line + p * apart + k);
            groups_dot(w, inputs, sums, pixels, 4);
        }
        if (run - k == 12) {
            /* What is read behind a row has no weight. */
            UNROLL for (int p = 0; p < pixels; p++)
                inputs[p] = vld1q_s8(line + p * apart + k);
            groups_dot(w, inputs, sums, pixels, 3);
            k += 12;
            w += 12 * LANES;
        }
        for (; k < run; k += 4, w += 4 * LANES) {
            UNROLL for (int p = 0; p < pixels; p++)
                inputs[p] = four_neon(line + p * apart + k);
            groups_dot(w, inputs, sums, pixels, 1);
        }
    }
    store_neon(m, n, sums, out, pixels);
}

DOT static void rows_dot(const matrix *m, const value *const *lines, int rows, int run, int apart,
                         void *out, int pixels)
{
    const size_t size = m->multiplier ? sizeof(value) : sizeof(sum);
    const size_t step = (size_t)m->outputs * size;
    for (int n = 0; n < m->outputs; n += LANES) {
        char *to = (char *)out;
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
    const int apart = m->inputs;
    const int8_t *w = m->weights + n * m->inputs;
    UNROLL for (int j = 0; j < 8; j++) {
        const int32x4_t bias = vld1q_s32(m->bias + n + j / 2 * 4);
        const int32x4_t two = j % 2 ? vuzp2q_s32(bias, bias) : vuzp1q_s32(bias, bias);
        UNROLL for (int p = 0; p < 2; p++)
            tiles[p][j] = two;
    }
    for (int k = 0; k + 8 <= m->inputs; k += 8, w += 8 * LANES) {
        int8x16_t inputs[2];
        UNROLL for (int p = 0; p < 2; p++)
            inputs[p] = vcombine_s8(vld1_s8(line + 2 * p * apart + k),
                                    vld1_s8(line + (2 * p + 1) * apart + k));
        UNROLL for (int q = 0; q < 4; q++) {
            const int32x4_t near = vreinterpretq_s32_s8(vld1q_s8(w + 16 * q));
            const int32x4_t far = vreinterpretq_s32_s8(vld1q_s8(w + 4 * LANES + 16 * q));
            const int8x16_t even = vreinterpretq_s8_s32(vtrn1q_s32(near, far));
            const int8x16_t odd = vreinterpretq_s8_s32(vtrn2q_s32(near, far));
            UNROLL for (int p = 0; p < 2; p++) {
                tiles[p][2 * q] = vmmlaq_s32(tiles[p][2 * q], inputs[p], even);
                tiles[p][2 * q + 1] = vmmlaq_s32(tiles[p][2 * q + 1], inputs[p], odd);
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
    store_neon(m, n, sums, out, 4);
}

I8MM static void multiply_i8mm(const matrix *m, const value *lines, void *out, int pixels)
{
    if (m->inputs % 8) {
        multiply_dot(m, lines, out, pixels);
        return;
    }
    const size_t step = (size_t)m->outputs * (m->multiplier ? sizeof(value) : sizeof(sum));
    for (int n = 0; n < m->outputs; n += LANES) {
        char *to = (char *)out;
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
