#if defined(__aarch64__) && defined(__ARM_NEON) && !defined(ULTRAFACE_PORTABLE)
#define ARM64 1
#include <arm_neon.h>
#define INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 32")
#endif
/* In the order of the other instruction sets: a * b + c. */
#define FMA_NEON(a, b, c) vfmaq_f32(c, a, b)

