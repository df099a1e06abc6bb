/* Between index.js, which checks types, and ultraface.h. */
#define NAPI_VERSION 6
#include <node_api.h>
#include <stdlib.h>
#include <string.h>

#include "ultraface.h"

enum { CAPACITY = 256, FIELDS = 6, MESSAGE = 512, NUMBERS = 10 };

/* One detection: made in the event loop, computed in any thread, answered in the event loop. */
typedef struct {
    ultraface_detector* detector;
    ultraface_image image;
    ultraface_face faces[CAPACITY];
    int32_t count;
    ultraface_status status;
    char message[MESSAGE]; /* the library's text belongs to the thread that computed */
    napi_deferred promise;
    napi_async_work work;
    napi_ref pixels, handle; /* keep both alive meanwhile */
} detection;

static napi_value error_of(napi_env env, ultraface_status status, const char* text) {
    napi_value message, error, code;
    napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &message);
    napi_create_error(env, NULL, message, &error);
    napi_create_int32(env, status, &code);
    napi_set_named_property(env, error, "status", code);
    return error;
}

static void destroy(napi_env env, void* data, void* hint) {
    (void)env;
    (void)hint;
    ultraface_destroy(data);
}

/* open(modelFolder or null, [scoreThreshold, iouThreshold, nms, candidates, topK, threads,
   keepAspect] with NaN for the defaults) */
static napi_value open_detector(napi_env env, napi_callback_info info) {
    size_t count = 2, length = 0;
    napi_value arguments[2], handle = NULL;
    char folder[4096];
    double numbers[7];
    ultraface_options options;
    ultraface_detector* detector = NULL;
    napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
    const int named = napi_get_value_string_utf8(env, arguments[0], folder, sizeof(folder),
                                                 &length) == napi_ok;
    for (uint32_t i = 0; i < 7; ++i) {
        napi_value element;
        napi_get_element(env, arguments[1], i, &element);
        if (napi_get_value_double(env, element, &numbers[i]) != napi_ok) return NULL;
    }
    ultraface_default_options(&options, sizeof(options));
    float* const shares[] = {&options.score_threshold, &options.iou_threshold};
    int32_t* const wholes[] = {&options.nms, &options.candidates, &options.top_k,
                               &options.threads, &options.keep_aspect};
    for (int i = 0; i < 2; ++i) {
        if (numbers[i] == numbers[i]) *shares[i] = (float)numbers[i];
    }
    for (int i = 0; i < 5; ++i) {
        if (numbers[2 + i] == numbers[2 + i]) *wholes[i] = (int32_t)numbers[2 + i];
    }
    const ultraface_status status = ultraface_create(named ? folder : NULL, &options, &detector);
    if (status != ULTRAFACE_OK) {
        napi_throw(env, error_of(env, status, ultraface_last_error()));
        return NULL;
    }
    napi_create_external(env, detector, destroy, NULL, &handle);
    return handle;
}

/* Read (handle, pixels as Uint8Array, numbers as Int32Array) into a detection. */
static detection* read_arguments(napi_env env, napi_callback_info info, napi_value* arguments) {
    size_t count = 3, bytes = 0, length = 0;
    void *pixels = NULL, *data = NULL;
    napi_typedarray_type kind;
    detection* made = calloc(1, sizeof(*made));
    if (made == NULL) {
        napi_throw(env, error_of(env, ULTRAFACE_OUT_OF_MEMORY, "out of memory"));
        return NULL;
    }
    napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
    if (napi_get_value_external(env, arguments[0], (void**)&made->detector) != napi_ok ||
        napi_get_typedarray_info(env, arguments[1], &kind, &bytes, &pixels, NULL, NULL) !=
            napi_ok ||
        napi_get_typedarray_info(env, arguments[2], &kind, &length, &data, NULL, NULL) !=
            napi_ok ||
        length != NUMBERS) {
        free(made);
        napi_throw(env, error_of(env, ULTRAFACE_INVALID_ARGUMENT, "arguments of another kind"));
        return NULL;
    }
    const int32_t* const numbers = data;
    made->image = (ultraface_image){
        .size = sizeof(made->image),
        .width = numbers[0],
        .height = numbers[1],
        .format = numbers[2],
        .stride = numbers[3],
        .rotation = numbers[4],
        .mirrored = numbers[5],
        .region_x = numbers[6],
        .region_y = numbers[7],
        .region_width = numbers[8],
        .region_height = numbers[9],
        .pixels = pixels,
        .bytes = bytes,
    };
    return made;
}

static void compute(napi_env env, void* data) {
    (void)env;
    detection* const job = data;
    job->status =
        ultraface_detect(job->detector, &job->image, job->faces, CAPACITY, &job->count);
    if (job->status != ULTRAFACE_OK) strncpy(job->message, ultraface_last_error(), MESSAGE - 1);
}

/* The faces as one Float32Array. */
static napi_value faces_of(napi_env env, const detection* job) {
    const size_t count = (size_t)(job->count < CAPACITY ? job->count : CAPACITY);
    napi_value buffer, array;
    void* data = NULL;
    napi_create_arraybuffer(env, count * FIELDS * sizeof(float), &data, &buffer);
    float* to = data;
    for (size_t i = 0; i < count; ++i) {
        const ultraface_face* const face = &job->faces[i];
        *to++ = face->x1;
        *to++ = face->y1;
        *to++ = face->x2;
        *to++ = face->y2;
        *to++ = face->score;
        *to++ = (float)face->label;
    }
    napi_create_typedarray(env, napi_float32_array, count * FIELDS, buffer, 0, &array);
    return array;
}

static napi_value detect_now(napi_env env, napi_callback_info info) {
    napi_value arguments[3], faces = NULL;
    detection* const job = read_arguments(env, info, arguments);
    if (job == NULL) return NULL;
    compute(env, job);
    if (job->status == ULTRAFACE_OK) {
        faces = faces_of(env, job);
    } else {
        napi_throw(env, error_of(env, job->status, job->message));
    }
    free(job);
    return faces;
}

static void answer(napi_env env, napi_status status, void* data) {
    (void)status;
    detection* const job = data;
    if (job->status == ULTRAFACE_OK) {
        napi_resolve_deferred(env, job->promise, faces_of(env, job));
    } else {
        napi_reject_deferred(env, job->promise, error_of(env, job->status, job->message));
    }
    napi_delete_reference(env, job->pixels);
    napi_delete_reference(env, job->handle);
    napi_delete_async_work(env, job->work);
    free(job);
}

static napi_value detect_later(napi_env env, napi_callback_info info) {
    napi_value arguments[3], promise, name;
    detection* const job = read_arguments(env, info, arguments);
    if (job == NULL) return NULL;
    napi_create_reference(env, arguments[0], 1, &job->handle);
    napi_create_reference(env, arguments[1], 1, &job->pixels);
    napi_create_promise(env, &job->promise, &promise);
    napi_create_string_utf8(env, "ultraface", NAPI_AUTO_LENGTH, &name);
    napi_create_async_work(env, NULL, name, compute, answer, job, &job->work);
    napi_queue_async_work(env, job->work);
    return promise;
}

/* className(label): a string, or null */
static napi_value class_name(napi_env env, napi_callback_info info) {
    size_t count = 1;
    napi_value argument, name;
    int32_t label = 0;
    napi_get_cb_info(env, info, &count, &argument, NULL, NULL);
    napi_get_value_int32(env, argument, &label);
    const char* const text = ultraface_class_name(label);
    if (text == NULL) {
        napi_get_null(env, &name);
    } else {
        napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &name);
    }
    return name;
}

/* Workers load it too, each with an environment of its own. */
NAPI_MODULE_INIT() {
    const napi_property_descriptor properties[] = {
        {"open", NULL, open_detector, NULL, NULL, NULL, napi_enumerable, NULL},
        {"detectNow", NULL, detect_now, NULL, NULL, NULL, napi_enumerable, NULL},
        {"detectLater", NULL, detect_later, NULL, NULL, NULL, napi_enumerable, NULL},
        {"className", NULL, class_name, NULL, NULL, NULL, napi_enumerable, NULL},
    };
    if (ultraface_version() != ULTRAFACE_API_VERSION) {
        napi_throw_error(env, NULL, "libultraface has another version of the interface");
        return NULL;
    }
    napi_define_properties(env, exports, sizeof(properties) / sizeof(*properties), properties);
    return exports;
}
