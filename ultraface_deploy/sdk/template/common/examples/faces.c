/* The C interface in one page: print the faces of a binary PPM image.
 *
 * Usage: faces IMAGE.ppm [MODEL_DIR]
 */
#include <stdio.h>
#include <stdlib.h>

#include "ultraface.h"

static uint8_t* read_ppm(const char* path, int32_t* width, int32_t* height) {
    uint8_t* pixels = NULL;
    FILE* file = fopen(path, "rb");
    if (file == NULL) return NULL;
    if (fscanf(file, "P6 %d %d 255", width, height) == 2 && fgetc(file) != EOF && *width > 0 &&
        *height > 0 && *width < 32768 && *height < 32768) {
        const size_t bytes = (size_t)*width * (size_t)*height * 3;
        pixels = malloc(bytes);
        if (pixels != NULL && fread(pixels, 1, bytes, file) != bytes) {
            free(pixels);
            pixels = NULL;
        }
    }
    fclose(file);
    return pixels;
}

int main(int argc, char** argv) {
    enum { CAPACITY = 256 };
    static ultraface_face faces[CAPACITY];
    ultraface_detector* detector = NULL;
    ultraface_image image = {.size = sizeof(image), .format = ULTRAFACE_RGB};
    int32_t count = 0;
    int exit_code = EXIT_FAILURE;
    uint8_t* pixels = argc > 1 ? read_ppm(argv[1], &image.width, &image.height) : NULL;

    if (pixels == NULL) {
        fprintf(stderr, "usage: faces IMAGE.ppm [MODEL_DIR]\n");
        return 2;
    }
    image.pixels = pixels;
    image.bytes = (size_t)image.width * (size_t)image.height * 3;
    if (ultraface_create(argc > 2 ? argv[2] : NULL, NULL, &detector) != ULTRAFACE_OK ||
        ultraface_detect(detector, &image, faces, CAPACITY, &count) != ULTRAFACE_OK) {
        fprintf(stderr, "error: %s\n", ultraface_last_error());
    } else {
        for (int32_t i = 0; i < count && i < CAPACITY; ++i) {
            const char* const name = ultraface_class_name(faces[i].label);
            printf("%.3f %.3f %.3f %.3f %.6f %d%s%s\n", faces[i].x1, faces[i].y1, faces[i].x2,
                   faces[i].y2, faces[i].score, (int)faces[i].label, name ? " " : "",
                   name ? name : "");
        }
        exit_code = EXIT_SUCCESS;
    }
    ultraface_destroy(detector);
    free(pixels);
    return exit_code;
}
