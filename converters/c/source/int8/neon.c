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
