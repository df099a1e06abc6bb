/* ---- What the tables say ---- */

#include <string.h>

#if defined(__x86_64__) || defined(__i386__)
/* The byte dot products of x86 multiply unsigned by signed, so values are stored plus 128. */
typedef uint8_t value;
#define OFFSET 128
#else
typedef int8_t value;
#define OFFSET 0
#endif
typedef value byte; /* of the picture */
typedef int32_t sum;
/* A bias, and what the offset of the values adds to the products of its row. */
#define B(bias, weights) ((bias) - OFFSET * (weights))

#define LANES 16
#define ALIGNED __attribute__((aligned(64)))

/* Weights lie in blocks of 16 outputs and up to 16 inputs, 4 times `groups`. A block consists of
   vectors, each of 4 outputs x 4 inputs. VECTOR is the place of the one that has group g of the
   inputs and four q of the outputs. NEON adds up the groups, so there they lie side by side. */
#if defined(__aarch64__) && defined(__ARM_NEON) && !defined(ULTRAFACE_PORTABLE)
#define ARM64 1
#define W4(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p) \
    a, e, i, m, b, f, j, n, c, g, k, o, d, h, l, p
#define W3(a, b, c, d, e, f, g, h, i, j, k, l) a, e, i, b, f, j, c, g, k, d, h, l
#define W2(a, b, c, d, e, f, g, h) a, e, b, f, c, g, d, h
#define VECTOR(g, q, groups) ((q) * (groups) + (g))
#else
#define W4(...) __VA_ARGS__
#define W3(...) __VA_ARGS__
#define W2(...) __VA_ARGS__
#define VECTOR(g, q, groups) ((g) * 4 + (q))
#endif
#define W1(...) __VA_ARGS__
#define V(...) __VA_ARGS__

/* outputs = weights * inputs + bias, then to a byte by SHIFT and multiplier; without multiplier
   the sums are kept. Weights lie as [outputs / 16][inputs / 16] blocks. */
typedef struct {
    const int8_t *weights;
    const int32_t *bias;
    const int16_t *multiplier;
    int inputs, outputs;
} matrix;

/* A depthwise 3x3 convolution. Weights lie as [channels / 16][column][16][row 0, 1, 2 and a 0]. */
typedef struct {
    const int8_t *weights;
    const int32_t *bias;
    const int16_t *multiplier;
    int channels;
} filter;

/* sum >> SHIFT limited to 16 bits, times multiplier / 2**15, rounded, limited to 8 bits. */
static inline value rescaled(sum total, int multiplier)
{
    int32_t narrow = total >> SHIFT;
    narrow = narrow < -32768 ? -32768 : narrow > 32767 ? 32767 : narrow;
    int32_t q = (narrow * multiplier + 16384) >> 15;
    q = q < -128 ? -128 : q > 127 ? 127 : q;
    return (value)(q + OFFSET);
}

/* Store a signed byte many times. */
static void fill(value *to, int byte, int count)
{
    memset(to, byte + OFFSET, (size_t)count);
}

static inline byte from_level(int32_t level)
{
    return (byte)(level - 128 + OFFSET);
}

/* Where a line of the picture is made: it is read as it is. */
static inline byte *levels_of(value *row, byte *spare)
{
    (void)spare;
    return row;
}

static inline void read_levels(const byte *levels, value *row, int count)
{
    (void)levels;
    (void)row;
    (void)count;
}

/* A sum with 16 bits behind the point; `scale` has 16 + 20. */
static inline int64_t to_point(sum made, int32_t scale)
{
    return ((int64_t)made * scale + (1 << 19)) >> 20;
}

/* The least sum that may be `least` with 16 bits behind the point. */
static inline sum least_sum(int64_t least, int32_t scale)
{
    const int64_t product = ((least - 1) * (1 << 20)) - (1 << 19);
    const int64_t made = scale > 0 ? product / scale - 1 : least > 0 ? INT32_MAX : INT32_MIN;
    return (sum)(made < INT32_MIN ? INT32_MIN : made > INT32_MAX ? INT32_MAX : made);
}
