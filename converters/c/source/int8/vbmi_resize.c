/* ---- The picture with AVX-512 VBMI ---- */

#define VBMI __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")))

/* What 16 values in the order of the line are made of, 4 bytes each: the places of their left and
   right pixels in 64 bytes, each twice, for the upper and the lower row; and the
   weights of both. Three such make 16 columns; BLOCK_BYTES hold the taps of 16 columns. */
enum { SPREAD_BYTES = 128, BLOCK_BYTES = 3 * SPREAD_BYTES };

/* Whether the taps of any 16 values, which are of up to 6 columns, lie within 64 bytes. */
static int near_vbmi(const column *columns, int count)
{
    return count >= 16 &&
           5 * ((columns[count - 1].left - columns[0].left) / 3 + 1) <= 19 * (count - 1);
}

/* Of columns too far apart what is written makes no sense and is not read. */
static void spread_vbmi(const column *columns, int count, uint8_t *taps)
{
    for (const column *at = columns; at + 16 <= columns + count; at += 16)
        for (int i = 0; i < 48; i++, taps += i % 16 ? 4 : 4 + SPREAD_BYTES / 2) {
            const int place = at[i / 3].left - at[i / 16 * 16 / 3].left + i % 3;
            taps[0] = taps[1] = (uint8_t)place;
            taps[2] = taps[3] = (uint8_t)(place + 3);
            memcpy(taps + SPREAD_BYTES / 2, at[i / 3].weights, 4);
        }
}

/* The 64 bytes at `from`, of which those from `end` on are not read. */
VBMI INLINE __m512i window_vbmi(const uint8_t *from, const uint8_t *end)
{
    if (end - from >= 64)
        return _mm512_loadu_si512(from);
    return _mm512_maskz_loadu_epi8(~(__mmask64)0 >> (64 - (end - from)), from);
}

/* 16 values, 32 bits each. */
VBMI INLINE __m512i values_vbmi(const uint8_t *upper, const uint8_t *lower, int left, int end,
                                __m512i down, const uint8_t *taps)
{
    const __m512i places = _mm512_loadu_si512(taps);
    const __m512i top = window_vbmi(upper + left, upper + end);
    const __m512i bottom = window_vbmi(lower + left, lower + end);
    __m512i pairs = _mm512_permutexvar_epi8(places, top);
    pairs = _mm512_mask_permutexvar_epi8(pairs, 0xaaaaaaaaaaaaaaaa, places, bottom);
    pairs = _mm512_maddubs_epi16(pairs, down);
    const __m512i half = _mm512_set1_epi32(1 << (DOWN + ACROSS - 1));
    const __m512i weights = _mm512_loadu_si512(taps + SPREAD_BYTES / 2);
    return _mm512_srai_epi32(_mm512_dpwssd_epi32(half, pairs, weights), DOWN + ACROSS);
}

/* Sixteen columns at once, as often as it goes. */
VBMI static int resize_vbmi(const uint8_t *upper, const uint8_t *lower, int below,
                            const column *columns, int count, ahead *next, byte *row)
{
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const uint8_t *taps = (const uint8_t *)(columns + ULTRAFACE_WIDTH);
    if (!near_vbmi(columns, count))
        return resize_avx512(upper, lower, below, columns, count, next, row);
    const __m512i down = _mm512_set1_epi16(weights_down(&upper, &lower, below));
    const int end = columns[count - 1].left + 6;
    int x = 0;
    for (; x + 16 <= count; x += 16, taps += BLOCK_BYTES) {
        const column *at = columns + x;
        const __m512i first = values_vbmi(upper, lower, at[0].left, end, down, taps);
        const __m512i second = values_vbmi(upper, lower, at[5].left, end, down,
                                           taps + SPREAD_BYTES);
        const __m512i third = values_vbmi(upper, lower, at[10].left, end, down,
                                          taps + 2 * SPREAD_BYTES);
        const __m512i bytes = _mm512_packus_epi16(_mm512_packs_epi32(first, second),
                                                  _mm512_packs_epi32(third, third));
        _mm512_storeu_si512(row + 3 * x, _mm512_permutexvar_epi32(order, bytes));
    }
    return x;
}

static const kernels vbmi_kernels = {"avx512vbmi", depthwise_avx512, multiply_avx512,
                                     first_avx512, resize_vbmi, spread_vbmi};

static int has_vbmi(void)
{
    return has_avx512() && __builtin_cpu_supports("avx512vbmi");
}
