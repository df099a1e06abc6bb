/* A generated detector with threads of its own: what backends/native.py and the C++ project call. */
#ifndef ULTRAFACE_NATIVE_H
#define ULTRAFACE_NATIVE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct native native;

/* Returns null without memory or threads; more threads than it was compiled for are as many. */
native *native_open(int threads);
void native_close(native *n);

/* Take a tensor (3, height, width) RGB of (byte - mean) / std as the picture. */
void native_put_tensor(native *n, const float *tensor, float mean, float std);

/* The network on that picture: scores (anchors, classes) after softmax, raw box offsets
   (anchors, 4). Returns 0, or an error of the generated header. */
int native_run(native *n, float *scores, float *boxes);

#ifdef __cplusplus
}
#endif
#endif
