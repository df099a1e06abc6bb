/* ---- Kernels for WebAssembly with SIMD ---- */

#if defined(__wasm_simd128__) && !defined(ULTRAFACE_PORTABLE)
#define WASM 1
#include <wasm_simd128.h>

#define UNROLL _Pragma("unroll")
#define INLINE static inline __attribute__((always_inline))

/* Write 16 outputs in their order. */
INLINE void store_wasm(const v128_t *sums, const int16_t *multiplier, value *to)
{
    v128_t narrow[2];
    UNROLL for (int i = 0; i < 2; i++) {
        const v128_t first = wasm_i32x4_shr(sums[2 * i], SHIFT);
        const v128_t both = wasm_i16x8_narrow_i32x4(first, wasm_i32x4_shr(sums[2 * i + 1], SHIFT));
        narrow[i] = wasm_i16x8_q15mulr_sat(both, wasm_v128_load(multiplier + 8 * i));
    }
    wasm_v128_store(to, wasm_i8x16_narrow_i16x8(narrow[0], narrow[1]));
}

/* Four values, in 16 bits each, twice. */
INLINE v128_t four_wasm(const value *at)
{
    int32_t four;
    memcpy(&four, at, 4);
    return wasm_i16x8_extend_low_i8x16(wasm_i32x4_splat(four));
}

/* 16 outputs of a pixel; two neighbouring lanes hold the halves of a sum. */
INLINE void pixel_wasm(const matrix *m, int n, const value *const *lines, int rows, int run,
                       int offset, void *out)
{
    const int8_t *w = m->weights + n * m->inputs;
    v128_t halves[8], sums[4];
    UNROLL for (int i = 0; i < 8; i++)
        halves[i] = wasm_i32x4_splat(0);
    for (int r = 0; r < rows; r++)
        for (int k = 0; k < run; k += 4, w += 4 * LANES) {
            const v128_t inputs = four_wasm(lines[r] + offset + k);
            UNROLL for (int q = 0; q < 4; q++) {
                const v128_t weights = wasm_v128_load(w + 16 * q);
                halves[2 * q] = wasm_i32x4_add(
                    halves[2 * q],
                    wasm_i32x4_dot_i16x8(wasm_i16x8_extend_low_i8x16(weights), inputs));
                halves[2 * q + 1] = wasm_i32x4_add(
                    halves[2 * q + 1],
                    wasm_i32x4_dot_i16x8(wasm_i16x8_extend_high_i8x16(weights), inputs));
            }
        }
    UNROLL for (int q = 0; q < 4; q++) {
        const v128_t a = halves[2 * q], b = halves[2 * q + 1];
        sums[q] = wasm_i32x4_add(wasm_i32x4_shuffle(a, b, 0, 2, 4, 6),
                                 wasm_i32x4_shuffle(a, b, 1, 3, 5, 7));
        sums[q] = wasm_i32x4_add(sums[q], wasm_v128_load(m->bias + n + 4 * q));
    }
    if (m->multiplier)
        store_wasm(sums, m->multiplier + n, (value *)out + n);
    else
        memcpy((sum *)out + n, sums, sizeof sums);
}

static void rows_wasm(const matrix *m, const value *const *lines, int rows, int run, int apart,
                      void *out, int pixels)
{
    const size_t step = (size_t)m->outputs * (m->multiplier ? sizeof(value) : sizeof(sum));
    for (int n = 0; n < m->outputs; n += LANES)
        for (int x = 0; x < pixels; x++)
            pixel_wasm(m, n, lines, rows, run, x * apart, (char *)out + (size_t)x * step);
}

static void multiply_wasm(const matrix *m, const value *lines, void *out, int pixels, ahead *next)
{
    (void)next;
    rows_wasm(m, &lines, 1, m->inputs, m->inputs, out, pixels);
}

static void first_wasm(const matrix *m, const value *const rows[3], value *out, int pixels, ahead *next)
{
    (void)next;
    rows_wasm(m, rows, 3, 12, 6, out, pixels);
}

static void depthwise_wasm(const filter *f, const value *const rows[3], value *out, int pixels,
                           int stride, int apart)
{
    const int channels = f->channels;
    for (int c = 0; c < channels; c += LANES) {
        /* Tap by tap, 16 bits a weight. */
        int16_t weights[9][LANES];
        for (int tap = 0; tap < 9; tap++)
            for (int i = 0; i < LANES; i++)
                weights[tap][i] = f->weights[c * 12 + (tap % 3 * LANES + i) * 4 + tap / 3];
        for (int x = 0; x < pixels; x++) {
            const int at = x * stride * channels + c;
            v128_t sums[4];
            UNROLL for (int q = 0; q < 4; q++)
                sums[q] = wasm_v128_load(f->bias + c + 4 * q);
            UNROLL for (int tap = 0; tap < 9; tap++) {
                const v128_t inputs = wasm_v128_load(rows[tap / 3] + at + tap % 3 * channels);
                const v128_t low = wasm_i16x8_mul(wasm_i16x8_extend_low_i8x16(inputs),
                                                  wasm_v128_load(weights[tap]));
                const v128_t high = wasm_i16x8_mul(wasm_i16x8_extend_high_i8x16(inputs),
                                                   wasm_v128_load(weights[tap] + 8));
                sums[0] = wasm_i32x4_add(sums[0], wasm_i32x4_extend_low_i16x8(low));
                sums[1] = wasm_i32x4_add(sums[1], wasm_i32x4_extend_high_i16x8(low));
                sums[2] = wasm_i32x4_add(sums[2], wasm_i32x4_extend_low_i16x8(high));
                sums[3] = wasm_i32x4_add(sums[3], wasm_i32x4_extend_high_i16x8(high));
            }
            store_wasm(sums, f->multiplier + c, out + x * apart + c);
        }
    }
}

static const kernels wasm_kernels = {"wasm", depthwise_wasm, multiply_wasm, first_wasm, 0,
                                     0};
#endif
