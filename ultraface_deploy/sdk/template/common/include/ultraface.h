/* Plain C interface of the face detector, for C and for whatever can call C.
 *
 * No function throws, exits or prints. Each returns an ultraface_status; on anything but
 * ULTRAFACE_OK, ultraface_last_error() says in one line what was wrong.
 * A detector is not shared between threads: create one a thread.
 */
#ifndef ULTRAFACE_H
#define ULTRAFACE_H

#include <stdint.h>

#if defined(_WIN32)
#define ULTRAFACE_API
#else
#define ULTRAFACE_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

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

typedef int32_t ultraface_format;
enum {
    ULTRAFACE_BGR = 0,  /* 3 bytes per pixel */
    ULTRAFACE_RGB = 1,  /* 3 bytes per pixel */
    ULTRAFACE_GRAY = 2, /* 1 byte per pixel */
    ULTRAFACE_NV21 = 3  /* luma rows, then height / 2 rows of V U pairs, one stride; even sides */
};

typedef int32_t ultraface_nms;
enum {
    ULTRAFACE_NMS_HARD = 0, /* drop boxes that overlap a better one */
    ULTRAFACE_NMS_SOFT = 1, /* lower their scores by a Gaussian of the overlap */
    ULTRAFACE_NMS_BLEND = 2 /* average them with it */
};

typedef struct ultraface_options {
    float score_threshold; /* faces score above it, 0..1 */
    float iou_threshold;   /* overlap above which two boxes are one face, 0..1 */
    ultraface_nms nms;
    int32_t candidates;  /* the best boxes of a class that enter NMS */
    int32_t top_k;       /* faces kept after it, 0 for all */
    int32_t threads;     /* of one inference */
    int32_t keep_aspect; /* 1 fits the image into the network's input and pads it; else 0 */
} ultraface_options;

/* Corners in pixels of the image; a face at the border may reach beyond it. */
typedef struct ultraface_face {
    float x1, y1, x2, y2;
    float score;   /* 0..1 */
    int32_t label; /* class, from 1 */
} ultraface_face;

typedef struct ultraface_detector ultraface_detector;

/* Fill in the defaults, which are those of the Python pipeline. */
ULTRAFACE_API ultraface_status ultraface_default_options(ultraface_options* options);

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
 * stride:   bytes from one row to the next; 0 for rows without gaps.
 * faces:    receives the best `capacity` faces; may be NULL when capacity is 0.
 * count:    receives how many were found, which may be more than capacity.
 */
ULTRAFACE_API ultraface_status ultraface_detect(ultraface_detector* detector,
                                                const uint8_t* pixels, int32_t width,
                                                int32_t height, int32_t stride,
                                                ultraface_format format, ultraface_face* faces,
                                                int32_t capacity, int32_t* count);

/* Free a detector; NULL is allowed. */
ULTRAFACE_API void ultraface_destroy(ultraface_detector* detector);

/* What went wrong in the last failed call of this thread; never NULL. */
ULTRAFACE_API const char* ultraface_last_error(void);

#ifdef __cplusplus
}
#endif

#endif
