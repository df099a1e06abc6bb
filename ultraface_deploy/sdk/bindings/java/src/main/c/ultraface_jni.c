/* Between ultraface.Detector and ultraface.h. */
#include <jni.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "ultraface.h"

enum { CAPACITY = 256, FIELDS = 6 };

JNIEXPORT jint JNICALL JNI_OnLoad(JavaVM* machine, void* reserved) {
    (void)machine;
    (void)reserved;
    return ultraface_version() == ULTRAFACE_API_VERSION ? JNI_VERSION_1_6 : JNI_ERR;
}

static void throw_status(JNIEnv* env, ultraface_status status, const char* message) {
    const jclass kind = (*env)->FindClass(env, "ultraface/UltraFaceException");
    if (kind == NULL) return; /* an exception is under way */
    const jmethodID make = (*env)->GetMethodID(env, kind, "<init>", "(ILjava/lang/String;)V");
    const jstring text = (*env)->NewStringUTF(env, message);
    if (make == NULL || text == NULL) return;
    const jobject error = (*env)->NewObject(env, kind, make, (jint)status, text);
    if (error != NULL) (*env)->Throw(env, (jthrowable)error);
}

JNIEXPORT jlong JNICALL Java_ultraface_Detector_create(
    JNIEnv* env, jclass kind, jstring model_folder, jfloat score_threshold, jfloat iou_threshold,
    jint nms, jint candidates, jint top_k, jint threads, jboolean keep_aspect) {
    (void)kind;
    ultraface_options options;
    ultraface_detector* detector = NULL;
    const char* folder = NULL;
    ultraface_default_options(&options, sizeof(options));
    if (!isnan(score_threshold)) options.score_threshold = score_threshold;
    if (!isnan(iou_threshold)) options.iou_threshold = iou_threshold;
    if (nms >= 0) options.nms = nms;
    if (candidates >= 0) options.candidates = candidates;
    if (top_k >= 0) options.top_k = top_k;
    if (threads >= 0) options.threads = threads;
    options.keep_aspect = keep_aspect;
    if (model_folder != NULL) {
        folder = (*env)->GetStringUTFChars(env, model_folder, NULL);
        if (folder == NULL) return 0;
    }
    const ultraface_status status = ultraface_create(folder, &options, &detector);
    if (folder != NULL) (*env)->ReleaseStringUTFChars(env, model_folder, folder);
    if (status != ULTRAFACE_OK) throw_status(env, status, ultraface_last_error());
    return (jlong)(intptr_t)detector;
}

static jfloatArray to_java(JNIEnv* env, const ultraface_face* faces, jsize count) {
    jfloat numbers[CAPACITY * FIELDS];
    for (jsize i = 0; i < count; ++i) {
        const ultraface_face* face = &faces[i];
        jfloat* to = numbers + FIELDS * i;
        to[0] = face->x1;
        to[1] = face->y1;
        to[2] = face->x2;
        to[3] = face->y2;
        to[4] = face->score;
        to[5] = (jfloat)face->label;
    }
    const jfloatArray out = (*env)->NewFloatArray(env, count * FIELDS);
    if (out != NULL) (*env)->SetFloatArrayRegion(env, out, 0, count * FIELDS, numbers);
    return out;
}

JNIEXPORT jfloatArray JNICALL Java_ultraface_Detector_detect(
    JNIEnv* env, jclass kind, jlong handle, jobject direct, jbyteArray array, jint offset,
    jint bytes, jint format, jint width, jint height, jint stride, jint rotation,
    jboolean mirrored, jintArray region) {
    (void)kind;
    ultraface_face faces[CAPACITY];
    int32_t count = 0;
    jint part[4];
    (*env)->GetIntArrayRegion(env, region, 0, 4, part);
    jbyte* const copied = array != NULL ? (*env)->GetByteArrayElements(env, array, NULL) : NULL;
    const uint8_t* pixels = (const uint8_t*)copied;
    if (array == NULL) {
        pixels = (const uint8_t*)(*env)->GetDirectBufferAddress(env, direct);
        if (pixels != NULL) pixels += offset;
    } else if (copied == NULL) {
        return NULL;
    }
    const ultraface_image image = {
        .size = sizeof(image),
        .format = format,
        .width = width,
        .height = height,
        .stride = stride,
        .rotation = rotation,
        .mirrored = mirrored,
        .region_x = part[0],
        .region_y = part[1],
        .region_width = part[2],
        .region_height = part[3],
        .pixels = pixels,
        .bytes = (size_t)bytes,
    };
    const ultraface_status status = ultraface_detect((ultraface_detector*)(intptr_t)handle, &image,
                                                     faces, CAPACITY, &count);
    if (copied != NULL) (*env)->ReleaseByteArrayElements(env, array, copied, JNI_ABORT);
    if (status != ULTRAFACE_OK) {
        throw_status(env, status, ultraface_last_error());
        return NULL;
    }
    return to_java(env, faces, count < CAPACITY ? count : CAPACITY);
}

/* As bytes: NewStringUTF takes another encoding than UTF-8 for letters beyond the first 65,536. */
JNIEXPORT jbyteArray JNICALL Java_ultraface_Detector_nameOf(JNIEnv* env, jclass kind, jint label) {
    (void)kind;
    const char* const name = ultraface_class_name(label);
    if (name == NULL) return NULL;
    const jsize length = (jsize)strlen(name);
    const jbyteArray out = (*env)->NewByteArray(env, length);
    if (out != NULL) (*env)->SetByteArrayRegion(env, out, 0, length, (const jbyte*)name);
    return out;
}

JNIEXPORT void JNICALL Java_ultraface_Detector_destroy(JNIEnv* env, jclass kind, jlong handle) {
    (void)env;
    (void)kind;
    ultraface_destroy((ultraface_detector*)(intptr_t)handle);
}
