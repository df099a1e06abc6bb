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
