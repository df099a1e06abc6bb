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

static void multiply_neon(const matrix *m, const value *lines, void *out, int pixels, ahead *next)
{
    (void)next;
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

static void first_neon(const matrix *m, const value *const rows[3], value *out, int pixels, ahead *next)
{
    (void)next;
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
