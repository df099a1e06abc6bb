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

DOT static void multiply_dot(const matrix *m, const value *lines, void *out, int pixels, ahead *next)
{
    (void)next;
    rows_dot(m, &lines, 1, m->inputs, m->inputs, out, pixels);
}

DOT static void first_dot(const matrix *m, const value *const rows[3], value *out, int pixels, ahead *next)
{
    (void)next;
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

static const kernels dot_kernels = {"dotprod", depthwise_dot, multiply_dot, first_dot,
                                    resize_neon, 0};
