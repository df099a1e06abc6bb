/* ---- The picture with AVX-512 ---- */

/* 16 bytes from each of four columns, four apart. */
AVX512 INLINE __m512i gather_512(const __m128i *const from[4])
{
    __m512i four = _mm512_castsi128_si512(_mm_loadu_si128(from[0]));
    four = _mm512_inserti32x4(four, _mm_loadu_si128(from[1]), 1);
    four = _mm512_inserti32x4(four, _mm_loadu_si128(from[2]), 2);
    return _mm512_inserti32x4(four, _mm_loadu_si128(from[3]), 3);
}

/* The pairs of pixels of four columns, four apart: in every 128 bits six numbers with DOWN bits
   behind the point. */
AVX512 INLINE __m512i blended_pairs_512(const int16_t *row, const column *at)
{
    const __m128i *from[4];
    UNROLL for (int i = 0; i < 4; i++)
        from[i] = (const __m128i *)(const void *)(row + at[4 * i].left);
    return gather_512(from);
}

/* The same straight from two rows. */
AVX512 INLINE __m512i pairs_512(const uint8_t *upper, const uint8_t *lower, __m512i down,
                                const column *at)
{
    __m128i pairs[4];
    const __m128i *from[4];
    UNROLL for (int i = 0; i < 4; i++) {
        const void *top = upper + at[4 * i].left, *bottom = lower + at[4 * i].left;
        pairs[i] = _mm_unpacklo_epi8(_mm_loadl_epi64((const __m128i *)top),
                                     _mm_loadl_epi64((const __m128i *)bottom));
        from[i] = &pairs[i];
    }
    return _mm512_maddubs_epi16(gather_512(from), down);
}

/* Blend two rows of `count` bytes, 64 at once; what lies behind is not read. */
AVX512 static void blend_512(const uint8_t *upper, const uint8_t *lower, __m512i down, int count,
                             int16_t *row)
{
    /* Unpacking works within 128 bits; from this order it leaves the right one. */
    const __m512i order = _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7);
    for (int i = 0; i < count; i += 64) {
        __m512i top, bottom;
        if (count - i >= 64) {
            top = _mm512_loadu_si512(upper + i);
            bottom = _mm512_loadu_si512(lower + i);
        } else {
            const __mmask64 inside = ((__mmask64)1 << (count - i)) - 1;
            top = _mm512_maskz_loadu_epi8(inside, upper + i);
            bottom = _mm512_maskz_loadu_epi8(inside, lower + i);
        }
        top = _mm512_permutexvar_epi64(order, top);
        bottom = _mm512_permutexvar_epi64(order, bottom);
        _mm512_storeu_si512(row + i, _mm512_maddubs_epi16(_mm512_unpacklo_epi8(top, bottom), down));
        _mm512_storeu_si512(row + i + 32,
                            _mm512_maddubs_epi16(_mm512_unpackhi_epi8(top, bottom), down));
    }
}

/* 16 columns, of which pairs[i] has the i-th of every four; writes 16 bytes behind them. */
AVX512 INLINE void columns_512(const __m512i *pairs, const column *at, byte *to)
{
    /* left B with right B, G with G, R with R, and a remainder */
    const __m512i colors = _mm512_broadcast_i32x4(
        _mm_setr_epi32(0x07060100, 0x09080302, 0x0b0a0504, 0x0f0e0d0c));
    /* the weights of columns 0, 4, 8 and 12 */
    const __m512i spread = _mm512_setr_epi32(1, 1, 1, 1, 9, 9, 9, 9, 17, 17, 17, 17, 25, 25, 25, 25);
    const __m512i half = _mm512_set1_epi32(1 << (DOWN + ACROSS - 1));
    const __m512i squeeze = _mm512_broadcast_i32x4(
        _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1));
    const __m512i together = _mm512_setr_epi32(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 3, 3, 3, 3);
    const __m512i near = _mm512_loadu_si512(at), far = _mm512_loadu_si512(at + 8);
    __m512i made[4];
    UNROLL for (int i = 0; i < 4; i++) {
        const __m512i which = _mm512_add_epi32(spread, _mm512_set1_epi32(2 * i));
        const __m512i weights = _mm512_permutex2var_epi32(near, which, far);
        made[i] = _mm512_dpwssd_epi32(half, _mm512_shuffle_epi8(pairs[i], colors), weights);
        made[i] = _mm512_srai_epi32(made[i], DOWN + ACROSS);
    }
    __m512i bytes = _mm512_packus_epi16(_mm512_packs_epi32(made[0], made[1]),
                                        _mm512_packs_epi32(made[2], made[3]));
    bytes = _mm512_shuffle_epi8(bytes, squeeze);
    _mm512_storeu_si512(to, _mm512_permutexvar_epi32(together, bytes));
}

/* All columns, sixteen at once; the last sixteen overlap those before. */
AVX512 INLINE void all_columns_512(const uint8_t *upper, const uint8_t *lower, __m512i down,
                                   const int16_t *blended, const column *columns, int count,
                                   byte *row)
{
    for (int x = 0; x < count; x += 16) {
        const int start = x + 16 > count ? count - 16 : x;
        const column *at = columns + start;
        __m512i pairs[4];
        UNROLL for (int i = 0; i < 4; i++)
            pairs[i] = blended ? blended_pairs_512(blended, at + i)
                               : pairs_512(upper, lower, down, at + i);
        columns_512(pairs, at, row + 3 * start);
    }
}

/* Narrow rows are blended whole before columns are, of wide ones only the pixels that are read. */
AVX512 static int resize_avx512(const uint8_t *upper, const uint8_t *lower, int below,
                                const column *columns, int count, ahead *next, byte *row)
{
    enum { NARROW = 4096 };
    int16_t blended[NARROW];
    (void)next;
    const __m512i down = _mm512_set1_epi16(weights_down(&upper, &lower, below));
    if (count < 16)
        return 0;
    const int bytes = columns[count - 1].left + 8;
    if (bytes > NARROW) {
        all_columns_512(upper, lower, down, 0, columns, count, row);
    } else {
        blend_512(upper, lower, down, bytes, blended);
        all_columns_512(upper, lower, down, blended, columns, count, row);
    }
    return count;
}

static const kernels avx512_kernels = {"avx512vnni", depthwise_avx512, multiply_avx512,
                                       first_avx512, resize_avx512, 0};

static int has_avx512(void)
{
    return __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl");
}
