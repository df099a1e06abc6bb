/* ---- Kernels for WebAssembly with SIMD ---- */

#if defined(__wasm_simd128__) && !defined(ULTRAFACE_PORTABLE)
#define WASM 1
#include <wasm_simd128.h>

#define UNROLL _Pragma("unroll")
#define INLINE static inline __attribute__((always_inline))

/* Eight sums in 16 bits each, of which 8 are used. */
INLINE v128_t narrow_wasm(v128_t first, v128_t second, const int16_t *multiplier)
{
    const v128_t both =
        wasm_i16x8_narrow_i32x4(wasm_i32x4_shr(first, SHIFT), wasm_i32x4_shr(second, SHIFT));
    return wasm_i16x8_q15mulr_sat(both, wasm_v128_load(multiplier));
}

/* Four values, in 16 bits each, twice. A call of memcpy would stay one where C has no library. */
INLINE v128_t four_wasm(const value *at)
{
    return wasm_i16x8_extend_low_i8x16(wasm_v128_load32_splat(at));
}

enum { TOGETHER = 3 }; /* pixels, so that their sums and what is multiplied fit 16 registers */

/* 8 outputs of `pixels` pixels; two neighbouring lanes hold the halves of a sum. */
INLINE void tile_wasm(const matrix *m, int n, const value *const *lines, int rows, int run,
                      int apart, int offset, char *out, size_t step, const int pixels)
{
    const int8_t *w = m->weights + n / LANES * LANES * m->inputs + n % LANES * 4;
    v128_t halves[TOGETHER][4];
    UNROLL for (int p = 0; p < pixels; p++)
        UNROLL for (int h = 0; h < 4; h++)
            halves[p][h] = wasm_i32x4_splat(0);
    for (int r = 0; r < rows; r++)
        for (int k = 0; k < run; k += 4, w += 4 * LANES) {
            v128_t inputs[TOGETHER];
            UNROLL for (int p = 0; p < pixels; p++)
                inputs[p] = four_wasm(lines[r] + offset + p * apart + k);
            UNROLL for (int h = 0; h < 4; h++) {
                const v128_t weights = wasm_i16x8_load8x8(w + 8 * h);
                UNROLL for (int p = 0; p < pixels; p++)
                    halves[p][h] =
                        wasm_i32x4_add(halves[p][h], wasm_i32x4_dot_i16x8(weights, inputs[p]));
            }
        }
    UNROLL for (int p = 0; p < pixels; p++, out += step) {
        v128_t sums[2];
        UNROLL for (int q = 0; q < 2; q++) {
            const v128_t a = halves[p][2 * q], b = halves[p][2 * q + 1];
            sums[q] = wasm_i32x4_add(wasm_i32x4_shuffle(a, b, 0, 2, 4, 6),
                                     wasm_i32x4_shuffle(a, b, 1, 3, 5, 7));
            sums[q] = wasm_i32x4_add(sums[q], wasm_v128_load(m->bias + n + 4 * q));
        }
        if (m->multiplier) {
            const v128_t bytes = narrow_wasm(sums[0], sums[1], m->multiplier + n);
            wasm_v128_store64_lane((value *)out + n, wasm_i8x16_narrow_i16x8(bytes, bytes), 0);
        } else {
            UNROLL for (int q = 0; q < 2; q++)
                wasm_v128_store((sum *)(void *)out + n + 4 * q, sums[q]);
        }
    }
}

static void rows_wasm(const matrix *m, const value *const *lines, int rows, int run, int apart,
                      void *out, int pixels)
{
    const size_t step = (size_t)m->outputs * (m->multiplier ? sizeof(value) : sizeof(sum));
    for (int n = 0; n < m->outputs; n += 8) {
        char *to = (char *)out;
        int x = 0;
        for (; x + TOGETHER <= pixels; x += TOGETHER, to += TOGETHER * step)
            tile_wasm(m, n, lines, rows, run, apart, x * apart, to, step, TOGETHER);
        for (; x < pixels; x++, to += step)
            tile_wasm(m, n, lines, rows, run, apart, x * apart, to, step, 1);
    }
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
            const v128_t first = narrow_wasm(sums[0], sums[1], f->multiplier + c);
            const v128_t second = narrow_wasm(sums[2], sums[3], f->multiplier + c + 8);
            wasm_v128_store(out + x * apart + c, wasm_i8x16_narrow_i16x8(first, second));
        }
    }
}

static const kernels wasm_kernels = {"wasm", depthwise_wasm, multiply_wasm, first_wasm, 0,
                                     0};
#endif
