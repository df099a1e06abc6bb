/* ---- What the tables say ---- */

#include <string.h>

typedef float value;
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

/* Where an output column of the picture reads: the byte offset of its left pixel, and the weights
   of that and the next, which add up to 2**ACROSS. */
enum { DOWN = 7, ACROSS = 11 };
typedef struct {
    int32_t left;
    int16_t weights[2];
} column;

/* The kernels of one instruction set.
   depthwise: rows[i] starts at the pixel left of the first; `apart` is from one output pixel to
   the next. multiply: `lines` holds pixels x inputs. first: 3x3 of stride 2 over three colours.
   resize: not made for numbers. */
typedef struct {
    const char *name;
    void (*depthwise)(const filter *f, const value *const rows[3], value *out, int pixels,
                      int stride, int apart);
    void (*multiply)(const matrix *m, const value *lines, void *out, int pixels);
    void (*first)(const matrix *m, const value *const rows[3], value *out, int pixels);
    int (*resize)(const uint8_t *upper, const uint8_t *lower, int below, const column *columns,
                  int count, const uint8_t *next, value *row);
} kernels;

/* Store a whole number many times. */
static void fill(value *to, int number, int count)
{
    for (int i = 0; i < count; i++)
        to[i] = (float)number;
}

static inline value from_level(int32_t level)
{
    return (float)level;
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
