/* Uses detectors from many threads, for ThreadSanitizer: one shared, one each, errors beside. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ultraface.h"

enum { THREADS = 8, ROUNDS = 3, CAPACITY = 64 };

static uint8_t pixels[240 * 320 * 3];
static ultraface_detector* shared;
static int expected;

static ultraface_image picture(void) {
    ultraface_image image = {.size = sizeof(image), .format = ULTRAFACE_BGR, .width = 320};
    image.height = 240;
    image.pixels = pixels;
    image.bytes = sizeof(pixels);
    return image;
}

static int find(ultraface_detector* detector) {
    ultraface_face faces[CAPACITY];
    int32_t count = -1;
    const ultraface_image image = picture();
    if (ultraface_detect(detector, &image, faces, CAPACITY, &count) != ULTRAFACE_OK) return -1;
    return count;
}

static void* work(void* argument) {
    ultraface_detector* own = NULL;
    ultraface_options options;
    char mine[64];
    int wrong = 0;
    ultraface_default_options(&options, sizeof(options));
    options.threads = 1 + (argument != NULL);
    if (ultraface_create(NULL, &options, &own) != ULTRAFACE_OK) return "create";
    for (int round = 0; round < ROUNDS; ++round) {
        ultraface_image image = picture();
        int32_t none = 0;
        image.stride = 1 + (argument != NULL);
        snprintf(mine, sizeof(mine), "a stride of %d bytes", image.stride);
        wrong += find(shared) != expected || find(own) != expected;
        wrong += ultraface_detect(shared, &image, NULL, 0, &none) == ULTRAFACE_OK;
        wrong += strstr(ultraface_last_error(), mine) == NULL;
        wrong += ultraface_strerror(ULTRAFACE_OK) == NULL || ultraface_version() < 1;
    }
    ultraface_destroy(own);
    return wrong ? "wrong" : NULL;
}

int main(void) {
    pthread_t threads[THREADS];
    int failures = 0;
    for (size_t i = 0; i < sizeof(pixels); ++i) pixels[i] = (uint8_t)(i * 2654435761u >> 24);
    if (ultraface_create(NULL, NULL, &shared) != ULTRAFACE_OK) return 2;
    expected = find(shared);
    for (int i = 0; i < THREADS; ++i) {
        if (pthread_create(&threads[i], NULL, work, i % 4 ? NULL : pixels)) return 2;
    }
    for (int i = 0; i < THREADS; ++i) {
        void* said = NULL;
        pthread_join(threads[i], &said);
        failures += said != NULL;
    }
    ultraface_destroy(shared);
    printf("%d of %d threads failed\n", failures, THREADS);
    return failures || expected < 0;
}
