/* ---- The picture with AVX2 ---- */

/* The weights of the upper and of the lower row, a byte each. A byte with a sign cannot be
   1 << DOWN: then all comes from one row, which is read as the other one too. */
static int16_t weights_down(const uint8_t **upper, const uint8_t **lower, int below)
{
    if (below == 0)
        *lower = *upper;
    else if (below == 1 << DOWN)
        *upper = *lower;
    const int shared = *upper == *lower ? 1 : below;
    return (int16_t)((1 << DOWN) - shared + shared * 256);
}

/* The left and the right pixel of a column, upper and lower row byte by byte. */
AVX2 INLINE __m128i pair_avx2(const uint8_t *upper, const uint8_t *lower, const column *at)
{
    const void *top = upper + at->left, *bottom = lower + at->left;
    return _mm_unpacklo_epi8(_mm_loadl_epi64((const __m128i *)top),
                             _mm_loadl_epi64((const __m128i *)bottom));
}

/* B, G, R and a remainder of two columns, four apart. */
AVX2 INLINE __m256i two_columns_avx2(const uint8_t *upper, const uint8_t *lower, __m256i down,
                                     const column *at)
{
    const __m256i colors = _mm256_broadcastsi128_si256(
        _mm_setr_epi32(0x07060100, 0x09080302, 0x0b0a0504, 0x0f0e0d0c));
    int32_t weights[2];
    memcpy(&weights[0], at[0].weights, 4);
    memcpy(&weights[1], at[4].weights, 4);
    const __m256i across = _mm256_inserti128_si256(
        _mm256_set1_epi32(weights[0]), _mm_set1_epi32(weights[1]), 1);
    __m256i two = _mm256_inserti128_si256(_mm256_castsi128_si256(pair_avx2(upper, lower, at)),
                                          pair_avx2(upper, lower, at + 4), 1);
    two = _mm256_maddubs_epi16(two, down);
    two = _mm256_madd_epi16(_mm256_shuffle_epi8(two, colors), across);
    two = _mm256_add_epi32(two, _mm256_set1_epi32(1 << (DOWN + ACROSS - 1)));
    return _mm256_srai_epi32(two, DOWN + ACROSS);
}

/* All columns, eight at once; the last eight overlap those before. Writes 4 bytes behind them. */
AVX2 static int resize_avx2(const uint8_t *upper, const uint8_t *lower, int below,
                            const column *columns, int count, ahead *next, byte *row)
{
    const __m256i squeeze = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1));
    const __m256i down = _mm256_set1_epi16(weights_down(&upper, &lower, below));
    (void)next; /* the rows of the network ask for it */
    if (count < 8)
        return 0;
    for (int x = 0; x < count; x += 8) {
        const int start = x + 8 > count ? count - 8 : x;
        const column *at = columns + start;
        __m256i made[4];
        UNROLL for (int i = 0; i < 4; i++)
            made[i] = two_columns_avx2(upper, lower, down, at + i);
        __m256i bytes = _mm256_packus_epi16(_mm256_packs_epi32(made[0], made[1]),
                                            _mm256_packs_epi32(made[2], made[3]));
        bytes = _mm256_shuffle_epi8(bytes, squeeze);
        byte *to = row + 3 * start;
        _mm_storeu_si128((__m128i *)(void *)to, _mm256_castsi256_si128(bytes));
        _mm_storeu_si128((__m128i *)(void *)(to + 12), _mm256_extracti128_si256(bytes, 1));
    }
    return count;
}
