/* Random pictures of sizes from 1x1 to 4096x4096, each in memory of exactly its size: for the
   sanitizers, which end the program at the first fault. Arguments: how many, and a seed. */
#include SOURCE
#include <stdio.h>
#include <stdlib.h>

static uint32_t state;

static uint32_t next(void)
{
    state = state * 1664525u + 1013904223u;
    return state >> 8;
}

/* Small sizes as often as large ones. */
static int side(void)
{
    return 1 + (int)(next() % (1u << next() % 13));
}

int main(int argc, char **argv)
{
    static const int bytes[] = {3, 3, 1, 2};
    const int count = argc > 1 ? atoi(argv[1]) : 100;
    state = argc > 2 ? (uint32_t)atoi(argv[2]) : 1;
    for (int i = 0; i < count; i++) {
        ultraface_options o = ultraface_defaults();
        o.format = (ultraface_format)(next() % 4);
        o.score_threshold = (float)(next() % 100) / 100.0f;
        o.iou_threshold = (float)(next() % 101) / 100.0f;
        o.candidates = 1 + (int)(next() % ULTRAFACE_CANDIDATES);
        const int width = side(), height = side(), row = width * bytes[o.format];
        const int stride = row + (int)(next() % 3 * (next() % 64));
        const size_t size = (size_t)stride * (size_t)(height - 1) + (size_t)row;
        uint8_t *pixels = (uint8_t *)malloc(size);
        uint8_t *arena = (uint8_t *)malloc(ULTRAFACE_ARENA_BYTES);
        const int capacity = (int)(next() % 20);
        ultraface_face *faces = (ultraface_face *)malloc(sizeof *faces * (size_t)(capacity + 1));
        if (!pixels || !arena || !faces)
            return 2;
        const uint8_t level = (uint8_t)next(), spread = (uint8_t)next();
        for (size_t k = 0; k < size; k++)
            pixels[k] = (uint8_t)(level + (spread ? next() % spread : 0));
        const int found = ultraface_detect_with(&o, pixels, width, height, stride, arena,
                                                ULTRAFACE_ARENA_BYTES, faces, capacity);
        if (found < 0 || found > capacity) {
            printf("picture %d: %d\n", i, found);
            return 1;
        }
        free(faces);
        free(arena);
        free(pixels);
    }
    return 0;
}
