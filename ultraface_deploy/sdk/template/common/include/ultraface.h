/* Plain C interface of the face detector, for C and for whatever can call C.
 *
 * This file is a contract: what it declares stays, under the same numbers and at the same offsets,
 * for as long as ULTRAFACE_API_VERSION stays. New fields are added at the end of a struct, whose
 * first field says how long the caller's is.
 *
 * Errors. No function throws, exits or prints. Each returns an ultraface_status; on anything but
 * ULTRAFACE_OK, ultraface_last_error() says in one line what was wrong.
 *
 * Threads. Every function may be called from any thread at any time, with one exception: nobody
 * may use a detector while or after ultraface_destroy frees it. Calls on one detector wait for
 * each other; detectors share nothing, so several threads work at once with one detector each.
 * The text of ultraface_last_error() belongs to the thread that asks.
 */
#ifndef ULTRAFACE_H
#define ULTRAFACE_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define ULTRAFACE_API
#else
#define ULTRAFACE_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* What this header is; ultraface_version() tells what the library is. */
#define ULTRAFACE_API_VERSION 1

/* Enumerations travel as int32_t: the size of a C enum is the compiler's choice. */
typedef int32_t ultraface_status;
enum {
    ULTRAFACE_OK = 0,
    ULTRAFACE_INVALID_ARGUMENT = 1, /* a null pointer, a size, a stride, an option */
    ULTRAFACE_MODEL_MISSING = 2,    /* a model file cannot be opened */
    ULTRAFACE_MODEL_DAMAGED = 3,    /* a model file is not the one this library was made for */
    ULTRAFACE_RUNTIME_FAILED = 4,   /* the runtime refuses the model or cannot run it */
    ULTRAFACE_OUT_OF_MEMORY = 5
};

/* The YUV formats are ITU-R BT.601 with video range; their pictures have even sides. */
typedef int32_t ultraface_format;
enum {
    ULTRAFACE_BGR = 0,  /* 3 bytes per pixel */
    ULTRAFACE_RGB = 1,  /* 3 bytes per pixel */
    ULTRAFACE_GRAY = 2, /* 1 byte per pixel */
    ULTRAFACE_NV21 = 3, /* luma rows, then height / 2 rows of V U pairs */
    ULTRAFACE_RGBA = 4, /* 4 bytes per pixel, the last of which is not looked at */
    ULTRAFACE_BGRA = 5, /* the same */
    ULTRAFACE_NV12 = 6, /* luma rows, then height / 2 rows of U V pairs */
    ULTRAFACE_I420 = 7  /* luma rows, then height / 2 rows of U, then height / 2 rows of V */
};

typedef int32_t ultraface_nms;
enum {
    ULTRAFACE_NMS_HARD = 0, /* drop boxes that overlap a better one */
    ULTRAFACE_NMS_SOFT = 1, /* lower their scores by a Gaussian of the overlap */
    ULTRAFACE_NMS_BLEND = 2 /* average them with it */
};

typedef struct ultraface_options {
    uint32_t size;         /* sizeof(ultraface_options) */
    float score_threshold; /* faces score above it, 0..1 */
    float iou_threshold;   /* overlap above which two boxes are one face, 0..1 */
    ultraface_nms nms;
    int32_t candidates;  /* the best boxes of a class that enter NMS */
    int32_t top_k;       /* faces kept after it, 0 for all */
    int32_t threads;     /* of one inference */
    int32_t keep_aspect; /* 1 fits the image into the network's input and pads it; else 0 */
} ultraface_options;

/* Pixels that the caller owns, and how they are to be looked at.
 *
 * The picture is turned clockwise by `rotation`, then mirrored from left to right if asked for:
 * what results is the upright picture, width and height swapped by 90 and 270. The region and the
 * faces' boxes are in its pixels. A front camera's preview shows it mirrored, for example.
 *
 * Zero is the default of everything but size, width, height, pixels and bytes.
 */
typedef struct ultraface_image {
    uint32_t size; /* sizeof(ultraface_image) */
    ultraface_format format;
    int32_t width, height; /* of the picture as it lies in memory, 1..32767 */
    int32_t stride;        /* bytes from one row to the next; 0 for rows without gaps */
    int32_t rotation;      /* 0, 90, 180 or 270 */
    int32_t mirrored;      /* 1 or 0 */
    /* Look only at this part of the upright picture; width and height 0 for all of it. */
    int32_t region_x, region_y, region_width, region_height;
    int32_t chroma_stride; /* of the planes below; 0 for rows without gaps */
    const uint8_t* pixels; /* the first row */
    size_t bytes;          /* that may be read there; a picture that needs more is refused */
    /* For YUV whose chroma does not follow the luma rows: [0] holds the pairs, or for I420 U, and
     * [1] V. Null for chroma that follows, with the luma's stride, in I420 with half of it. */
    const uint8_t* chroma[2];
    size_t chroma_bytes[2];
} ultraface_image;

/* Corners in pixels of the upright picture; a face at the border may reach beyond it. */
typedef struct ultraface_face {
    float x1, y1, x2, y2;
    float score;   /* 0..1 */
    int32_t label; /* class, from 1 */
} ultraface_face;

typedef struct ultraface_detector ultraface_detector;

/* The ULTRAFACE_API_VERSION that the library was built with. */
ULTRAFACE_API int32_t ultraface_version(void);

/* What a status means, in a few words; never NULL. */
ULTRAFACE_API const char* ultraface_strerror(ultraface_status status);

/* What went wrong in the last failed call of this thread; never NULL. */
ULTRAFACE_API const char* ultraface_last_error(void);

/* What the class of a label is called, in UTF-8; NULL where the network does not say. The text
 * lives as long as the library.
 */
ULTRAFACE_API const char* ultraface_class_name(int32_t label);

/* Fill in the defaults, which are those of the Python pipeline.
 *
 * size: sizeof(ultraface_options), which goes into its first field.
 */
ULTRAFACE_API ultraface_status ultraface_default_options(ultraface_options* options,
                                                         uint32_t size);

/* Load the model and prove that it runs.
 *
 * model_dir: folder of the model files; NULL for the model embedded in the library.
 * options:   NULL for the defaults.
 * detector:  receives the handle; NULL on failure. Free it with ultraface_destroy.
 */
ULTRAFACE_API ultraface_status ultraface_create(const char* model_dir,
                                                const ultraface_options* options,
                                                ultraface_detector** detector);

/* Find the faces of one image, best first.
 *
 * faces:    receives the best `capacity` faces; may be NULL when capacity is 0.
 * count:    receives how many were found, which may be more than capacity.
 */
ULTRAFACE_API ultraface_status ultraface_detect(ultraface_detector* detector,
                                                const ultraface_image* image,
                                                ultraface_face* faces, int32_t capacity,
                                                int32_t* count);

/* Free a detector; NULL is allowed. */
ULTRAFACE_API void ultraface_destroy(ultraface_detector* detector);

#ifdef __cplusplus
}
#endif

#endif
