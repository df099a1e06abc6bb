/* ---- Kernels for x86-64 ---- */

#if defined(__x86_64__) && defined(__GNUC__) && !defined(ULTRAFACE_PORTABLE)
#define X86 1
/* GCC 12 warns of its own header in C++. */
#if !defined(__clang__) && __GNUC__ < 13
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 32")
#endif
#define INLINE static inline __attribute__((always_inline))

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
                            int apart, void *out, int pixels)                                     \
    {                                                                                             \
        const size_t size = m->multiplier ? sizeof(value) : sizeof(sum);                          \
        const int step = pixels < many ? 1 : many;                                                \
        for (int x = 0; x < pixels; x += step) {                                                  \
            const int at = x + step > pixels ? pixels - step : x;                                 \
            const value *from[3];                                                                 \
            for (int r = 0; r < rows; r++)                                                        \
                from[r] = lines[r] + at * apart;                                                  \
            void *to = (char *)out + (size_t)(at * m->outputs) * size;                            \
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
                               int apart, void *out, int pixels)
{
    int n = 0;
    for (; n + 64 <= m->outputs; n += 64)
        row_64_avx512(m, n, lines, rows, run, apart, out, pixels);
    for (; n + 32 <= m->outputs; n += 32)
        row_32_avx512(m, n, lines, rows, run, apart, out, pixels);
    for (; n < m->outputs; n += LANES)
        if (pixels < 20)
            row_16_short_avx512(m, n, lines, rows, run, apart, out, pixels);
        else
            row_16_avx512(m, n, lines, rows, run, apart, out, pixels);
}

AVX512 static void multiply_avx512(const matrix *m, const value *lines, void *out, int pixels)
{
    rows_avx512(m, &lines, 1, m->inputs, m->inputs, out, pixels);
}

AVX512 static void first_avx512(const matrix *m, const value *const rows[3], value *out, int pixels)
{
    rows_avx512(m, rows, 3, 12, 6, out, pixels);
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
AVX512 INLINE void columns_512(const __m512i *pairs, const column *at, value *to)
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

/* All columns, sixteen at once; the last sixteen overlap those before. The next rows are asked for
   meanwhile. */
AVX512 INLINE void all_columns_512(const uint8_t *upper, const uint8_t *lower, __m512i down,
                                   const int16_t *blended, const column *columns, int count,
                                   const uint8_t *next, value *row)
{
    for (int x = 0, fetched = 0; x < count; x += 16) {
        const int start = x + 16 > count ? count - 16 : x;
        const column *at = columns + start;
        __m512i pairs[4];
        UNROLL for (int i = 0; i < 4; i++)
            pairs[i] = blended ? blended_pairs_512(blended, at + i)
                               : pairs_512(upper, lower, down, at + i);
        columns_512(pairs, at, row + 3 * start);
        for (; fetched < at[15].left; fetched += 64) {
            _mm_prefetch((const char *)next + fetched, _MM_HINT_T0);
            _mm_prefetch((const char *)next + (lower - upper) + fetched, _MM_HINT_T0);
        }
    }
}

/* Narrow rows are blended whole before columns are, of wide ones only the pixels that are read. */
AVX512 static int resize_avx512(const uint8_t *upper, const uint8_t *lower, int below,
                                const column *columns, int count, const uint8_t *next, value *row)
{
    enum { NARROW = 4096 };
    int16_t blended[NARROW];
    const __m512i down = _mm512_set1_epi16(weights_down(&upper, &lower, below));
    if (count < 16)
        return 0;
    const int bytes = columns[count - 1].left + 8;
    if (bytes > NARROW) {
        all_columns_512(upper, lower, down, 0, columns, count, next, row);
    } else {
        blend_512(upper, lower, down, bytes, blended);
        all_columns_512(upper, lower, down, blended, columns, count, next, row);
    }
    return count;
}

static const kernels avx512_kernels = {"avx512vnni", depthwise_avx512, multiply_avx512,
                                       first_avx512, resize_avx512};

static int has_avx512(void)
{
    return __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl");
}

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
                                  int apart, void *out, int pixels)                               \
    {                                                                                             \
        const size_t step = (size_t)m->outputs * (m->multiplier ? sizeof(value) : sizeof(sum));   \
        for (int n = 0; n < m->outputs; n += LANES) {                                             \
            char *to = (char *)out;                                                               \
            int x = 0;                                                                            \
            for (; x + many <= pixels; x += many, to += many * step)                              \
                tile_##set(m, n, lines, rows, run, apart, x * apart, to, many);                   \
            for (; x < pixels; x++, to += step)                                                   \
                tile_##set(m, n, lines, rows, run, apart, x * apart, to, 1);                      \
        }                                                                                         \
    }                                                                                             \
    target static void multiply_##set(const matrix *m, const value *lines, void *out, int pixels) \
    {                                                                                             \
        rows_##set(m, &lines, 1, m->inputs, m->inputs, out, pixels);                              \
    }                                                                                             \
    target static void first_##set(const matrix *m, const value *const rows[3], value *out,       \
                                   int pixels)                                                    \
    {                                                                                             \
        rows_##set(m, rows, 3, 12, 6, out, pixels);                                               \
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
                            const column *columns, int count, const uint8_t *next, value *row)
{
    const __m256i squeeze = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1));
    const __m256i down = _mm256_set1_epi16(weights_down(&upper, &lower, below));
    if (count < 8)
        return 0;
    for (int x = 0, fetched = 0; x < count; x += 8) {
        const int start = x + 8 > count ? count - 8 : x;
        const column *at = columns + start;
        __m256i made[4];
        UNROLL for (int i = 0; i < 4; i++)
            made[i] = two_columns_avx2(upper, lower, down, at + i);
        __m256i bytes = _mm256_packus_epi16(_mm256_packs_epi32(made[0], made[1]),
                                            _mm256_packs_epi32(made[2], made[3]));
        bytes = _mm256_shuffle_epi8(bytes, squeeze);
        value *to = row + 3 * start;
        _mm_storeu_si128((__m128i *)(void *)to, _mm256_castsi256_si128(bytes));
        _mm_storeu_si128((__m128i *)(void *)(to + 12), _mm256_extracti128_si256(bytes, 1));
        for (; fetched < at[7].left; fetched += 64) {
            _mm_prefetch((const char *)next + fetched, _MM_HINT_T0);
            _mm_prefetch((const char *)next + (lower - upper) + fetched, _MM_HINT_T0);
        }
    }
    return count;
}

static const kernels avx2_kernels = {"avx2", depthwise_avx2, multiply_avx2, first_avx2,
                                     resize_avx2};
static const kernels avxvnni_kernels = {"avxvnni", depthwise_avx2, multiply_avxvnni, first_avxvnni,
                                        resize_avx2};

static int has_avx2(void)
{
    return __builtin_cpu_supports("avx2");
}

static int has_avxvnni(void)
{
#if defined(__clang__) && __clang_major__ < 18
    return 0; /* cannot be asked for */
#else
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("avxvnni");
#endif
}
#endif
