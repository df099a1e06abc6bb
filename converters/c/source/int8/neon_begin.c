/* ---- Kernels for 64-bit Arm ---- */

#if defined(ARM64)
#include <arm_neon.h>
#if defined(__linux__)
#include <sys/auxv.h>
#endif

#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 32")
#endif
#define INLINE static inline __attribute__((always_inline))

/* Keep the compiler from mixing the steps before and after: it would run out of registers. */
#define IN_ORDER __asm__ volatile("" ::: "memory")
/* Keep it from taking a vector apart into values that need registers of their own. */
#define WHOLE(vector) __asm__("" : "+w"(vector))

/* 16 sums to bytes. */
INLINE int8x16_t bytes_neon(const int32x4_t *sums, int16x8_t low, int16x8_t high)
{
    const int16x8_t first = vqshrn_high_n_s32(vqshrn_n_s32(sums[0], SHIFT), sums[1], SHIFT);
    const int16x8_t second = vqshrn_high_n_s32(vqshrn_n_s32(sums[2], SHIFT), sums[3], SHIFT);
    return vqmovn_high_s16(vqmovn_s16(vqrdmulhq_s16(first, low)), vqrdmulhq_s16(second, high));
}

/* Write 16 outputs of each of `pixels` pixels: bytes, or sums without multipliers. */
INLINE void store_neon(const int16_t *multiplier, const int32x4_t *sums, void *out, int outputs,
                       const int pixels)
{
    if (!multiplier) {
        UNROLL for (int i = 0; i < 4 * pixels; i++)
            vst1q_s32((sum *)out + i / 4 * outputs + i % 4 * 4, sums[i]);
        return;
    }
    const int16x8_t low = vld1q_s16(multiplier), high = vld1q_s16(multiplier + 8);
    UNROLL for (int p = 0; p < pixels; p++)
        vst1q_s8((value *)out + p * outputs, bytes_neon(sums + 4 * p, low, high));
}

/* Four values, four times. */
INLINE int8x16_t four_neon(const value *at)
{
    int32_t four;
    memcpy(&four, at, 4);
    return vreinterpretq_s8_s32(vdupq_n_s32(four));
}

/* The same of each of `groups` fours; three are read as four. */
INLINE void four_each_neon(const value *at, int8x16_t *to, const int groups)
{
    if (groups == 1) {
        to[0] = four_neon(at);
        return;
    }
    int32x4_t all = vreinterpretq_s32_s8(vld1q_s8(at));
    WHOLE(all);
    to[0] = vreinterpretq_s8_s32(vdupq_laneq_s32(all, 0));
    to[1] = vreinterpretq_s8_s32(vdupq_laneq_s32(all, 1));
    to[2] = vreinterpretq_s8_s32(vdupq_laneq_s32(all, 2));
    if (groups == 4)
        to[3] = vreinterpretq_s8_s32(vdupq_laneq_s32(all, 3));
}

/* `count` vectors that lie side by side. */
INLINE void load_neon(const int8_t *from, int8x16_t *to, const int count)
{
    if (count == 4) {
        const int8x16x4_t all = vld1q_s8_x4(from);
        to[0] = all.val[0];
        to[1] = all.val[1];
        to[2] = all.val[2];
        to[3] = all.val[3];
    } else if (count == 3) {
        const int8x16x3_t all = vld1q_s8_x3(from);
        to[0] = all.val[0];
        to[1] = all.val[1];
        to[2] = all.val[2];
    } else {
        UNROLL for (int i = 0; i < count; i++)
            to[i] = vld1q_s8(from + 16 * i);
    }
}
