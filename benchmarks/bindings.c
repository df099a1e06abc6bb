/* Detects a picture of the conformance set N times: frames PICTURE WIDTH HEIGHT N, NV21 by 270. */
#include <stdio.h>
#include <stdlib.h>

#include "ultraface.h"

int main(int argc, char** argv) {
    static uint8_t pixels[1 << 20];
    static ultraface_face faces[256];
    ultraface_detector* detector = NULL;
    ultraface_image image = {.size = sizeof(image), .format = ULTRAFACE_NV21, .rotation = 270};
    int32_t count = 0;
    FILE* file = argc == 5 ? fopen(argv[1], "rb") : NULL;
    if (file == NULL) return 2;
    image.pixels = pixels;
    image.bytes = fread(pixels, 1, sizeof(pixels), file);
    image.width = atoi(argv[2]);
    image.height = atoi(argv[3]);
    fclose(file);
    if (ultraface_create(NULL, NULL, &detector) != ULTRAFACE_OK) return 1;
    for (int i = atoi(argv[4]); i > 0; --i) {
        if (ultraface_detect(detector, &image, faces, 256, &count) != ULTRAFACE_OK) return 1;
    }
    ultraface_destroy(detector);
    return count < 1;
}
