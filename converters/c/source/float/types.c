/* ---- What the tables say ---- */

#include <string.h>

typedef float value;
typedef uint8_t byte; /* of the picture */
#define OFFSET 128 /* of the levels, as INT8 has it on x86 */
typedef float sum;

#define LANES 16
#define ALIGNED __attribute__((aligned(64)))

/* outputs = weights * inputs + bias, then ReLU where `relu`. Weights lie as
   [outputs / 16][inputs][16]. */
typedef struct {
    const float *weights;
    const float *bias;
    int inputs, outputs, relu;
} matrix;

/* A depthwise 3x3 convolution, then ReLU. Weights lie as [channels / 16][row][column][16]. */
typedef struct {
    const float *weights;
    const float *bias;
    int channels;
} filter;

/* Store a whole number many times. */
static void fill(value *to, int number, int count)
{
    for (int i = 0; i < count; i++)
        to[i] = (float)number;
}

static inline byte from_level(int32_t level)
{
    return (byte)level;
}

/* Where a line of the picture is made, before it becomes numbers. */
static inline byte *levels_of(value *row, byte *spare)
{
    (void)row;
    return spare;
}

static inline void read_levels(const byte *levels, value *row, int count)
{
    for (int i = 0; i < count; i++)
        row[i] = (float)levels[i];
}

static inline int64_t to_point(sum made, int32_t scale)
{
    /* Written so that a sum that is no number becomes the lowest. */
    const float limited = made > -8192.0f ? (made < 8192.0f ? made : 8192.0f) : -8192.0f;
    return (int64_t)(limited * (float)scale + (limited < 0 ? -0.5f : 0.5f));
}

/* The least sum that may be `least` with 16 bits behind the point. */
static inline sum least_sum(int64_t least, int32_t scale)
{
    return (float)(least - 1) / (float)scale;
}
