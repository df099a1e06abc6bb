/* ---- AVX-512 with VNNI ---- */

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))

/* Four values as every 32-bit lane. */
AVX512 INLINE __m512i four_512(const value *at)
{
    int32_t four;
    memcpy(&four, at, 4);
    return _mm512_set1_epi32(four);
}

/* 64 sums to bytes: packing works within 128 bits, so it leaves dwords transposed by `order`. */
AVX512 INLINE __m512i bytes_512(const __m512i *sums, __m512i low, __m512i high)
{
    const __m512i first = _mm512_packs_epi32(_mm512_srai_epi32(sums[0], SHIFT),
                                             _mm512_srai_epi32(sums[1], SHIFT));
    const __m512i second = _mm512_packs_epi32(_mm512_srai_epi32(sums[2], SHIFT),
                                              _mm512_srai_epi32(sums[3], SHIFT));
    const __m512i packed = _mm512_packs_epi16(_mm512_mulhrs_epi16(first, low),
                                              _mm512_mulhrs_epi16(second, high));
    return _mm512_xor_si512(packed, _mm512_set1_epi8(-128));
}

AVX512 INLINE __m512i in_order_512(__m512i packed)
{
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    return _mm512_permutexvar_epi32(order, packed);
}

/* Multipliers of `vectors` x 16 outputs as bytes_512 meets them: the 64 sums are those of
   4 / vectors pixels. */
AVX512 INLINE void multipliers_512(const int16_t *from, int vectors, __m512i *low, __m512i *high)
{
    __m512i wide[4];
    for (int i = 0; i < 4; i++)
        wide[i] = _mm512_cvtepi16_epi32(
            _mm256_loadu_si256((const __m256i *)(const void *)(from + i % vectors * LANES)));
    *low = _mm512_packs_epi32(wide[0], wide[1]);
    *high = _mm512_packs_epi32(wide[2], wide[3]);
}

/* `pixels` x (vectors * 16) outputs; pixels * vectors must be a multiple of 4, or pixels 1. Each
   pixel's inputs are `rows` runs of `run` values. */
AVX512 INLINE void tile_512(const matrix *m, int n, const value *const *lines, int rows, int run,
                            int apart, void *out, const int pixels, const int vectors)
{
    __m512i sums[20];
    const int8_t *w = m->weights + n * m->inputs;
    const int next = LANES * m->inputs;
    UNROLL for (int p = 0; p < pixels; p++)
        UNROLL for (int v = 0; v < vectors; v++)
            sums[p * vectors + v] = _mm512_load_si512(m->bias + n + v * LANES);
    for (int r = 0; r < rows; r++)
        for (int k = 0; k < run; k += 4, w += 4 * LANES) {
            __m512i weights[4];
            UNROLL for (int v = 0; v < vectors; v++)
                weights[v] = _mm512_load_si512(w + v * next);
            UNROLL for (int p = 0; p < pixels; p++) {
                const __m512i inputs = four_512(lines[r] + p * apart + k);
                UNROLL for (int v = 0; v < vectors; v++)
                    sums[p * vectors + v] =
                        _mm512_dpbusd_epi32(sums[p * vectors + v], inputs, weights[v]);
            }
        }
    if (!m->multiplier) {
        UNROLL for (int p = 0; p < pixels; p++)
            UNROLL for (int v = 0; v < vectors; v++)
                _mm512_storeu_si512((sum *)out + p * m->outputs + n + v * LANES,
                                    sums[p * vectors + v]);
        return;
    }
    __m512i low, high;
    multipliers_512(m->multiplier + n, vectors, &low, &high);
    value *to = (value *)out + n;
    if (pixels == 1) {
        UNROLL for (int v = vectors; v < 4; v++)
            sums[v] = sums[0];
        const __m512i bytes = in_order_512(bytes_512(sums, low, high));
        _mm512_mask_storeu_epi8(to, ~(__mmask64)0 >> (64 - 16 * vectors), bytes);
        return;
    }
    UNROLL for (int i = 0; i < pixels * vectors / 4; i++) {
        const __m512i bytes = in_order_512(bytes_512(sums + 4 * i, low, high));
        value *at = to + i * (4 / vectors) * m->outputs;
        if (vectors == 4 || vectors * LANES == m->outputs) {
            _mm512_storeu_si512(at, bytes);
        } else if (vectors == 2) {
            _mm256_storeu_si256((__m256i *)(void *)at, _mm512_castsi512_si256(bytes));
            _mm256_storeu_si256((__m256i *)(void *)(at + m->outputs),
                                _mm512_extracti64x4_epi64(bytes, 1));
        } else {
            _mm_storeu_si128((__m128i *)(void *)at, _mm512_castsi512_si128(bytes));
            _mm_storeu_si128((__m128i *)(void *)(at + m->outputs), _mm512_extracti32x4_epi32(bytes, 1));
            _mm_storeu_si128((__m128i *)(void *)(at + 2 * m->outputs), _mm512_extracti32x4_epi32(bytes, 2));
            _mm_storeu_si128((__m128i *)(void *)(at + 3 * m->outputs), _mm512_extracti32x4_epi32(bytes, 3));
        }
    }
}

/* All pixels of a row, `many` at once; the last tile overlaps the one before it. */
#define ROW_512(name, many, vectors)                                                              \
    AVX512 static void name(const matrix *m, int n, const value *const *lines, int rows, int run, \
                            int apart, void *out, int pixels, ahead *next)                        \
    {                                                                                             \
        const size_t size = m->multiplier ? sizeof(value) : sizeof(sum);                          \
        const int step = pixels < many ? 1 : many;                                                \
        for (int x = 0; x < pixels; x += step) {                                                  \
            const int at = x + step > pixels ? pixels - step : x;                                 \
            const value *from[3];                                                                 \
            for (int r = 0; r < rows; r++)                                                        \
                from[r] = lines[r] + at * apart;                                                  \
            void *to = (char *)out + (size_t)(at * m->outputs) * size;                            \
            ask(next, 3);                                                                         \
            if (step == 1)                                                                        \
                tile_512(m, n, from, rows, run, apart, to, 1, vectors);                           \
            else                                                                                  \
                tile_512(m, n, from, rows, run, apart, to, many, vectors);                        \
        }                                                                                         \
    }
ROW_512(row_64_avx512, 5, 4)
ROW_512(row_32_avx512, 10, 2)
ROW_512(row_16_avx512, 20, 1)
ROW_512(row_16_short_avx512, 4, 1)

AVX512 static void rows_avx512(const matrix *m, const value *const *lines, int rows, int run,
                               int apart, void *out, int pixels, ahead *next)
{
    int n = 0;
    for (; n + 64 <= m->outputs; n += 64)
        row_64_avx512(m, n, lines, rows, run, apart, out, pixels, next);
    for (; n + 32 <= m->outputs; n += 32)
        row_32_avx512(m, n, lines, rows, run, apart, out, pixels, next);
    for (; n < m->outputs; n += LANES)
        if (pixels < 20)
            row_16_short_avx512(m, n, lines, rows, run, apart, out, pixels, next);
        else
            row_16_avx512(m, n, lines, rows, run, apart, out, pixels, next);
}

AVX512 static void multiply_avx512(const matrix *m, const value *lines, void *out, int pixels,
                                   ahead *next)
{
    rows_avx512(m, &lines, 1, m->inputs, m->inputs, out, pixels, next);
}

AVX512 static void first_avx512(const matrix *m, const value *const rows[3], value *out, int pixels,
                                ahead *next)
{
    rows_avx512(m, rows, 3, 12, 6, out, pixels, next);
}

/* 64 bytes of a row: 4 / blocks pixels, `apart` from each other, of blocks * 16 channels. */
AVX512 INLINE __m512i load_512(const value *at, int apart, const int blocks)
{
    if (blocks == 4 || apart == blocks * LANES)
        return _mm512_loadu_si512(at);
    if (blocks == 2)
        return _mm512_inserti64x4(
            _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)(const void *)at)),
            _mm256_loadu_si256((const __m256i *)(const void *)(at + apart)), 1);
    __m512i all = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)(const void *)at));
    all = _mm512_inserti32x4(all, _mm_loadu_si128((const __m128i *)(const void *)(at + apart)), 1);
    all = _mm512_inserti32x4(all, _mm_loadu_si128((const __m128i *)(const void *)(at + 2 * apart)), 2);
    return _mm512_inserti32x4(all, _mm_loadu_si128((const __m128i *)(const void *)(at + 3 * apart)), 3);
}

/* A column of three rows, four bytes a channel; to[j] has channels 4j to 4j + 3 of every block. */
AVX512 INLINE void column_512(const value *const rows[3], int offset, int apart, const int blocks,
                              __m512i *to)
{
    const __m512i top = load_512(rows[0] + offset, apart, blocks);
    const __m512i middle = load_512(rows[1] + offset, apart, blocks);
    const __m512i bottom = load_512(rows[2] + offset, apart, blocks);
    const __m512i a = _mm512_unpacklo_epi8(top, middle), b = _mm512_unpackhi_epi8(top, middle);
    const __m512i c = _mm512_unpacklo_epi8(bottom, bottom), d = _mm512_unpackhi_epi8(bottom, bottom);
    to[0] = _mm512_unpacklo_epi16(a, c);
    to[1] = _mm512_unpackhi_epi16(a, c);
    to[2] = _mm512_unpacklo_epi16(b, d);
    to[3] = _mm512_unpackhi_epi16(b, d);
}

AVX512 INLINE __m512i blocks_512(const void *from, size_t apart, const int blocks)
{
    const char *at = (const char *)from;
    __m512i all = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)at));
    if (blocks == 1)
        return all;
    const __m128i second = _mm_loadu_si128((const __m128i *)(const void *)(at + apart));
    all = _mm512_inserti32x4(all, second, 1);
    if (blocks == 2)
        return _mm512_inserti32x4(all, second, 3);
    all = _mm512_inserti32x4(all, _mm_loadu_si128((const __m128i *)(const void *)(at + 2 * apart)), 2);
    return _mm512_inserti32x4(all, _mm_loadu_si128((const __m128i *)(const void *)(at + 3 * apart)), 3);
}

/* The pixels of `now`, then of `next`, without the first `pixels` of them. */
AVX512 INLINE __m512i later_512(__m512i now, __m512i next, const int pixels, const int blocks)
{
    switch (pixels * blocks) {
    case 1:
        return _mm512_alignr_epi32(next, now, 4);
    case 2:
        return _mm512_alignr_epi32(next, now, 8);
    default:
        return next;
    }
}

AVX512 INLINE void depthwise_blocks_512(const filter *f, int c, const value *const rows[3],
                                        value *out, int pixels, const int stride, int apart,
                                        const int blocks)
{
    const int channels = f->channels, many = 4 / blocks;
    __m512i weights[3][4], bias[4], now[4], next[4], after[4], sums[4];
    const int8_t *w = f->weights + c * 12;
    UNROLL for (int dx = 0; dx < 3; dx++)
        UNROLL for (int j = 0; j < 4; j++)
            weights[dx][j] = blocks_512(w + (dx * 4 + j) * LANES, 12 * LANES, blocks);
    UNROLL for (int j = 0; j < 4; j++)
        bias[j] = blocks_512(f->bias + c + 4 * j, 4 * LANES, blocks);
    const __m512i low = blocks_512(f->multiplier + c, 2 * LANES, blocks);
    const __m512i high = blocks_512(f->multiplier + c + 8, 2 * LANES, blocks);
    const int step = stride * channels;
    column_512(rows, c, step, blocks, now);
    if (blocks == 4 && stride == 1)
        column_512(rows, c + channels, step, blocks, next);
    for (int x = 0; x < pixels; x += many) {
        const int at = c + x * step;
        if (stride == 2) {
            column_512(rows, at + channels, step, blocks, next);
            UNROLL for (int j = 0; j < 4; j++) {
                sums[j] = _mm512_dpbusd_epi32(bias[j], now[j], weights[0][j]);
                sums[j] = _mm512_dpbusd_epi32(sums[j], next[j], weights[1][j]);
            }
            column_512(rows, at + many * step, step, blocks, after);
            UNROLL for (int j = 0; j < 4; j++) {
                sums[j] = _mm512_dpbusd_epi32(sums[j], later_512(now[j], after[j], 1, blocks),
                                              weights[2][j]);
                now[j] = after[j];
            }
        } else if (blocks == 4) {
            column_512(rows, at + 2 * step, step, blocks, after);
            UNROLL for (int j = 0; j < 4; j++) {
                sums[j] = _mm512_dpbusd_epi32(bias[j], now[j], weights[0][j]);
                sums[j] = _mm512_dpbusd_epi32(sums[j], next[j], weights[1][j]);
                sums[j] = _mm512_dpbusd_epi32(sums[j], after[j], weights[2][j]);
                now[j] = next[j];
                next[j] = after[j];
            }
        } else {
            column_512(rows, at + many * step, step, blocks, next);
            UNROLL for (int j = 0; j < 4; j++) {
                sums[j] = _mm512_dpbusd_epi32(bias[j], now[j], weights[0][j]);
                sums[j] = _mm512_dpbusd_epi32(sums[j], later_512(now[j], next[j], 1, blocks),
                                              weights[1][j]);
                sums[j] = _mm512_dpbusd_epi32(sums[j], later_512(now[j], next[j], 2, blocks),
                                              weights[2][j]);
                now[j] = next[j];
            }
        }
        const __m512i bytes = bytes_512(sums, low, high);
        value *to = out + x * apart + c;
        const int left = pixels - x < many ? pixels - x : many;
        if (left == many && (blocks == 4 || apart == blocks * LANES)) {
            _mm512_storeu_si512(to, bytes);
            continue;
        }
        value each[64];
        _mm512_storeu_si512(each, bytes);
        for (int p = 0; p < left; p++)
            memcpy(to + p * apart, each + p * blocks * LANES, (size_t)(blocks * LANES));
    }
}

AVX512 static void depthwise_avx512(const filter *f, const value *const rows[3], value *out,
                                    int pixels, int stride, int apart)
{
    int c = 0;
    for (; c + 64 <= f->channels; c += 64)
        if (stride == 1)
            depthwise_blocks_512(f, c, rows, out, pixels, 1, apart, 4);
        else
            depthwise_blocks_512(f, c, rows, out, pixels, 2, apart, 4);
    if (c + 32 <= f->channels && f->channels == 32) {
        if (stride == 1)
            depthwise_blocks_512(f, c, rows, out, pixels, 1, apart, 2);
        else
            depthwise_blocks_512(f, c, rows, out, pixels, 2, apart, 2);
        c += 32;
    }
    for (; c < f->channels; c += LANES)
        if (stride == 1)
            depthwise_blocks_512(f, c, rows, out, pixels, 1, apart, 1);
        else
            depthwise_blocks_512(f, c, rows, out, pixels, 2, apart, 1);
}
