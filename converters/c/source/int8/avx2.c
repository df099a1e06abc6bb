/* ---- AVX2, and AVX2 with VNNI ---- */

#define AVX2 __attribute__((target("avx2")))
#define AVXVNNI __attribute__((target("avx2,avxvnni")))

/* Write 16 outputs, of which `low` has sums 0-3 and 8-11, `high` the others. */
AVX2 INLINE void store_avx2(__m256i low, __m256i high, const int16_t *multiplier, value *to)
{
    __m256i bytes = _mm256_packs_epi32(_mm256_srai_epi32(low, SHIFT), _mm256_srai_epi32(high, SHIFT));
    bytes = _mm256_mulhrs_epi16(bytes, _mm256_loadu_si256((const __m256i *)(const void *)multiplier));
    bytes = _mm256_permute4x64_epi64(_mm256_packs_epi16(bytes, bytes), 0x08);
    _mm_storeu_si128((__m128i *)(void *)to,
                     _mm_xor_si128(_mm256_castsi256_si128(bytes), _mm_set1_epi8(-128)));
}

/* Write 16 outputs in their order, as bytes or as sums. */
AVX2 INLINE void store_in_order_avx2(const matrix *m, int n, __m256i first, __m256i second, void *out)
{
    if (m->multiplier) {
        store_avx2(_mm256_permute2x128_si256(first, second, 0x20),
                   _mm256_permute2x128_si256(first, second, 0x31), m->multiplier + n, (value *)out + n);
    } else {
        _mm256_storeu_si256((__m256i *)(void *)((sum *)out + n), first);
        _mm256_storeu_si256((__m256i *)(void *)((sum *)out + n + 8), second);
    }
}

AVX2 INLINE __m256i load_avx2(const void *from)
{
    return _mm256_loadu_si256((const __m256i *)from);
}

/* Four values, in 16 bits each, four times. */
AVX2 INLINE __m256i four_avx2(const value *at)
{
    int32_t four;
    memcpy(&four, at, 4);
    return _mm256_broadcastq_epi64(_mm_cvtepu8_epi16(_mm_cvtsi32_si128(four)));
}

/* 16 outputs of `pixels` pixels; two neighbouring lanes hold the halves of a sum. */
AVX2 INLINE void tile_avx2(const matrix *m, int n, const value *const *lines, int rows, int run,
                           int apart, int offset, void *out, const int pixels)
{
    const size_t size = m->multiplier ? sizeof(value) : sizeof(sum);
    const int8_t *w = m->weights + n * m->inputs;
    __m256i halves[2][4];
    UNROLL for (int p = 0; p < pixels; p++)
        UNROLL for (int q = 0; q < 4; q++)
            halves[p][q] = _mm256_setzero_si256();
    for (int r = 0; r < rows; r++)
        for (int k = 0; k < run; k += 4, w += 4 * LANES) {
            __m256i inputs[2];
            UNROLL for (int p = 0; p < pixels; p++)
                inputs[p] = four_avx2(lines[r] + offset + p * apart + k);
            UNROLL for (int q = 0; q < 4; q++) {
                const __m256i weights = _mm256_cvtepi8_epi16(
                    _mm_loadu_si128((const __m128i *)(const void *)(w + 16 * q)));
                UNROLL for (int p = 0; p < pixels; p++)
                    halves[p][q] =
                        _mm256_add_epi32(halves[p][q], _mm256_madd_epi16(weights, inputs[p]));
            }
        }
    UNROLL for (int p = 0; p < pixels; p++) {
        const __m256i first = _mm256_hadd_epi32(halves[p][0], halves[p][1]);
        const __m256i second = _mm256_hadd_epi32(halves[p][2], halves[p][3]);
        store_in_order_avx2(
            m, n, _mm256_add_epi32(_mm256_permute4x64_epi64(first, 0xd8), load_avx2(m->bias + n)),
            _mm256_add_epi32(_mm256_permute4x64_epi64(second, 0xd8), load_avx2(m->bias + n + 8)),
            (char *)out + (size_t)(p * m->outputs) * size);
    }
}

/* The same with dot products of bytes. */
AVXVNNI INLINE void tile_avxvnni(const matrix *m, int n, const value *const *lines, int rows,
                                 int run, int apart, int offset, void *out, const int pixels)
{
    const size_t size = m->multiplier ? sizeof(value) : sizeof(sum);
    const int8_t *w = m->weights + n * m->inputs;
    __m256i sums[5][2];
    UNROLL for (int p = 0; p < pixels; p++)
        UNROLL for (int v = 0; v < 2; v++)
            sums[p][v] = load_avx2(m->bias + n + 8 * v);
    for (int r = 0; r < rows; r++)
        for (int k = 0; k < run; k += 4, w += 4 * LANES) {
            const __m256i first = load_avx2(w), second = load_avx2(w + 32);
            UNROLL for (int p = 0; p < pixels; p++) {
                int32_t four;
                memcpy(&four, lines[r] + offset + p * apart + k, 4);
                const __m256i inputs = _mm256_set1_epi32(four);
                sums[p][0] = _mm256_dpbusd_avx_epi32(sums[p][0], inputs, first);
                sums[p][1] = _mm256_dpbusd_avx_epi32(sums[p][1], inputs, second);
            }
        }
    UNROLL for (int p = 0; p < pixels; p++)
        store_in_order_avx2(m, n, sums[p][0], sums[p][1],
                            (char *)out + (size_t)(p * m->outputs) * size);
}

/* All outputs and pixels of a row, `many` pixels at once. */
#define ROWS_256(target, set, many)                                                               \
    target static void rows_##set(const matrix *m, const value *const *lines, int rows, int run,  \
                                  int apart, void *out, int pixels, ahead *next)                  \
    {                                                                                             \
        const size_t step = (size_t)m->outputs * (m->multiplier ? sizeof(value) : sizeof(sum));   \
        for (int n = 0; n < m->outputs; n += LANES) {                                             \
            char *to = (char *)out;                                                               \
            int x = 0;                                                                            \
            for (; x + many <= pixels; x += many, to += many * step) {                            \
                ask(next, 1);                                                                     \
                tile_##set(m, n, lines, rows, run, apart, x * apart, to, many);                   \
            }                                                                                     \
            for (; x < pixels; x++, to += step)                                                   \
                tile_##set(m, n, lines, rows, run, apart, x * apart, to, 1);                      \
        }                                                                                         \
    }                                                                                             \
    target static void multiply_##set(const matrix *m, const value *lines, void *out, int pixels, \
                                      ahead *next)                                                \
    {                                                                                             \
        rows_##set(m, &lines, 1, m->inputs, m->inputs, out, pixels, next);                        \
    }                                                                                             \
    target static void first_##set(const matrix *m, const value *const rows[3], value *out,       \
                                   int pixels, ahead *next)                                       \
    {                                                                                             \
        rows_##set(m, rows, 3, 12, 6, out, pixels, next);                                         \
    }
ROWS_256(AVX2, avx2, 2)
ROWS_256(AVXVNNI, avxvnni, 5)

AVX2 INLINE __m256i wide_avx2(const value *at)
{
    return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)at));
}

/* 16 channels: rows 0 and 1 of a column beside each other, row 2 beside nothing, in 16 bits. */
AVX2 static void depthwise_avx2(const filter *f, const value *const rows[3], value *out,
                                int pixels, int stride, int apart)
{
    const int channels = f->channels;
    const __m256i none = _mm256_setzero_si256();
    for (int c = 0; c < channels; c += LANES) {
        /* In the order in which unpacking leaves channels: 0-3 and 8-11, then the others. */
        int16_t pairs[3][2][LANES][2];
        int32_t bias[LANES];
        for (int i = 0; i < LANES; i++) {
            const int place = (i & 3) + (i >> 3 << 2) + ((i >> 2 & 1) << 3);
            bias[place] = f->bias[c + i];
            for (int dx = 0; dx < 3; dx++) {
                const int8_t *w = f->weights + c * 12 + (dx * LANES + i) * 4;
                pairs[dx][0][place][0] = w[0];
                pairs[dx][0][place][1] = w[1];
                pairs[dx][1][place][0] = w[2];
                pairs[dx][1][place][1] = 0;
            }
        }
        for (int x = 0; x < pixels; x++) {
            const int at = x * stride * channels + c;
            __m256i low = load_avx2(bias), high = load_avx2(bias + 8);
            UNROLL for (int dx = 0; dx < 3; dx++) {
                const __m256i top = wide_avx2(rows[0] + at + dx * channels);
                const __m256i middle = wide_avx2(rows[1] + at + dx * channels);
                const __m256i bottom = wide_avx2(rows[2] + at + dx * channels);
                low = _mm256_add_epi32(low, _mm256_madd_epi16(_mm256_unpacklo_epi16(top, middle),
                                                              load_avx2(pairs[dx][0])));
                high = _mm256_add_epi32(high, _mm256_madd_epi16(_mm256_unpackhi_epi16(top, middle),
                                                                load_avx2(pairs[dx][0][8])));
                low = _mm256_add_epi32(low, _mm256_madd_epi16(_mm256_unpacklo_epi16(bottom, none),
                                                              load_avx2(pairs[dx][1])));
                high = _mm256_add_epi32(high, _mm256_madd_epi16(_mm256_unpackhi_epi16(bottom, none),
                                                                load_avx2(pairs[dx][1][8])));
            }
            store_avx2(low, high, f->multiplier + c, out + x * apart + c);
        }
    }
}
