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
