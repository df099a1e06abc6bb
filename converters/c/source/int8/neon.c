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

static const kernels neon_kernels = {"neon", depthwise_neon, multiply_neon, first_neon,
                                     resize_neon, 0};
