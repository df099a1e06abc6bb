/* ---- The picture with NEON ---- */

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
                       const column *columns, int count, ahead *next, byte *row)
{
    static const uint8_t squeeze[16] = {0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 15, 15, 15, 15};
    const uint8x16_t order = vld1q_u8(squeeze);
    const uint8x8_t above = vdup_n_u8((uint8_t)((1 << DOWN) - below));
    const uint8x8_t under = vdup_n_u8((uint8_t)below);
    if (count < 4)
        return 0;
    for (int x = 0; x < count; x += 4) {
        const int start = x + 4 > count ? count - 4 : x;
        const column *at = columns + start;
        int16x4_t made[4];
        UNROLL for (int i = 0; i < 4; i++)
            made[i] = column_neon(upper, lower, above, under, at + i);
        const int8x8_t first = vrshrn_n_s16(vcombine_s16(made[0], made[1]), 2);
        const int8x16_t four = vrshrn_high_n_s16(first, vcombine_s16(made[2], made[3]), 2);
        const uint8x16_t bytes = vqtbl1q_u8(vreinterpretq_u8_s8(four), order);
        vst1q_u8((uint8_t *)row + 3 * start, veorq_u8(bytes, vdupq_n_u8(128 - OFFSET)));
        ask(next, 1);
    }
    return count;
}
