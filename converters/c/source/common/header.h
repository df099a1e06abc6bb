/* @TITLE@
 *
 * Written by ultraface-deploy @VERSION@; the C file beside it needs nothing but a C99 or C++
 * compiler and the C library's memcpy, memmove and memset (and getenv, unless
 * ULTRAFACE_NO_ENVIRONMENT is defined). It allocates nothing and keeps nothing between calls:
 * any number of threads may call it, each with an arena and an array of faces of its own.
 *
 * @SPEC@
 */
#ifndef ULTRAFACE_H
#define ULTRAFACE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ULTRAFACE_WIDTH @WIDTH@ /* of the network's input; pictures may have any size */
#define ULTRAFACE_HEIGHT @HEIGHT@
#define ULTRAFACE_CLASSES @CLASSES@ /* background first */
#define ULTRAFACE_ANCHORS @ANCHORS@
#define ULTRAFACE_CANDIDATES 200 /* the most boxes of a class that enter suppression */

/* The most threads that can share one picture; each costs @LINE_BYTES@ bytes of arena, and each
   above two @STREAM_BYTES@ more. */
#ifndef ULTRAFACE_THREADS
#define ULTRAFACE_THREADS 2
#endif

/* What a call needs of memory, in bytes; any alignment. */
#define ULTRAFACE_ARENA_BYTES                              \
    (@FIXED_BYTES@ + ULTRAFACE_THREADS * @LINE_BYTES@ + \
     (ULTRAFACE_THREADS < 3 ? 0 : ULTRAFACE_THREADS - 2) * @STREAM_BYTES@)

typedef struct {
    float x1, y1, x2, y2; /* in pixels of the picture; a face at the border may reach beyond it */
    float score;          /* 0 to 1 */
    int label;            /* the class, from 1 */
} ultraface_face;

typedef enum {
    ULTRAFACE_BGR,   /* 3 bytes a pixel, as OpenCV has them */
    ULTRAFACE_RGB,   /* 3 bytes */
    ULTRAFACE_GRAY,  /* 1 byte */
    ULTRAFACE_RGB565 /* 2 bytes, low byte first, red in the high bits */
} ultraface_format;

enum {
    ULTRAFACE_OK = 0,
    ULTRAFACE_BAD_PICTURE = -1, /* no pixels, a size outside 1 to 32767, a stride below the row */
    ULTRAFACE_SMALL_ARENA = -2, /* no arena, or less than ULTRAFACE_ARENA_BYTES */
    ULTRAFACE_BAD_OPTIONS = -3, /* a value out of range, no room for faces, no parallel_for */
    ULTRAFACE_NO_KERNELS = -4   /* ULTRAFACE_KERNELS asks for what this processor has not */
};

/* Call task(context, i) for every i below count, in any order or at once, and return when all are
   done. */
typedef void (*ultraface_task)(void *context, int index);
typedef void (*ultraface_parallel_for)(void *pool, ultraface_task task, void *context, int count);

typedef struct {
    float score_threshold; /* faces must score more */
    float iou_threshold;   /* above it two boxes are one face */
    int candidates;        /* 1 to ULTRAFACE_CANDIDATES */
    ultraface_format format;
    int threads; /* above 1 only with parallel_for */
    ultraface_parallel_for parallel_for;
    void *pool; /* handed to parallel_for */
    int keep_aspect; /* 1 fits the picture into the network's input and pads it; 0 stretches it */
} ultraface_options;

/* Find the faces of a picture, best first, with the default options.
   `stride` is in bytes from row to row. Returns how many were written, at most `capacity`, or one
   of the errors above. */
int ultraface_detect(const uint8_t *bgr, int width, int height, int stride, void *arena,
                     size_t arena_bytes, ultraface_face *faces, int capacity);

/* The network's own score threshold, IoU .3, all candidates, BGR, one thread, stretched. */
ultraface_options ultraface_defaults(void);

int ultraface_detect_with(const ultraface_options *options, const uint8_t *pixels, int width,
                          int height, int stride, void *arena, size_t arena_bytes,
                          ultraface_face *faces, int capacity);

/* The network alone: scores (ANCHORS, CLASSES) after softmax, raw box offsets (ANCHORS, 4). */
int ultraface_run(const ultraface_options *options, const uint8_t *pixels, int width, int height,
                  int stride, void *arena, size_t arena_bytes, float *scores, float *boxes);

/* The instruction set that is used here: the best there is, or the one that the environment
   variable ULTRAFACE_KERNELS or, when compiling, -DULTRAFACE_KERNELS='"portable"' names. */
const char *ultraface_kernels(void);
@NAMES@
#ifdef __cplusplus
}
#endif
#endif
