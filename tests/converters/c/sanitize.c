/* Random pictures of sizes from 1x1 to 4096x4096, each in memory of exactly its size, some with
   arguments that must be refused: for the sanitizers, which end the program at the first fault.
   Each picture is seen by one instruction set of this processor, unless ULTRAFACE_KERNELS names
   one for all. Arguments: how many, and a seed. Prints the instruction sets. */
#define _POSIX_C_SOURCE 200112L
#include SOURCE
#include <stdio.h>
#include <stdlib.h>

enum { SETS = sizeof choices / sizeof *choices };

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

static void choose_any(void)
{
    size_t i;
    do
        i = next() % SETS;
    while (!choices[i].usable());
    setenv("ULTRAFACE_KERNELS", choices[i].set->name, 1);
}

/* One call with one thing wrong. */
static int refused(ultraface_options o, const uint8_t *pixels, int width, int height, int stride,
                   uint8_t *arena, ultraface_face *faces)
{
    size_t size = ULTRAFACE_ARENA_BYTES;
    int capacity = 1;
    switch (next() % 12) {
    case 0: width = -(int)(next() % 9); break;
    case 1: height = -(int)(next() % 9); break;
    case 2: width = 32768 + (int)next() % 99999; break;
    case 3: stride = width - 1 - (int)(next() % 99); break;
    case 4: pixels = 0; break;
    case 5: arena = 0; break;
    case 6: size -= 1 + next() % ULTRAFACE_ARENA_BYTES; break;
    case 7: o.score_threshold = next() % 2 ? -0.5f : 1.5f; break;
    case 8: o.candidates = next() % 2 ? 0 : ULTRAFACE_CANDIDATES + 1; break;
    case 9: o.threads = next() % 2 ? 0 : 2; break;
    case 10: capacity = -1; break;
    default: faces = 0;
    }
    return ultraface_detect_with(&o, pixels, width, height, stride, arena, size, faces, capacity) < 0;
}

int main(int argc, char **argv)
{
    static const int bytes[] = {3, 3, 1, 2};
    const int count = argc > 1 ? atoi(argv[1]) : 100;
    const int any = !getenv("ULTRAFACE_KERNELS");
    for (size_t i = 0; i < SETS; i++)
        if (any ? choices[i].usable() : choices[i].set == choose_kernels())
            puts(choices[i].set->name);
    state = argc > 2 ? (uint32_t)atoi(argv[2]) : 1;
    for (int i = 0; i < count; i++) {
        ultraface_options o = ultraface_defaults();
        if (any)
            choose_any();
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
        /* Noise, repeated at a distance that is no row's. */
        const size_t fresh = size < 65521 ? size : 65521;
        for (size_t k = 0; k < fresh; k++)
            pixels[k] = (uint8_t)(level + (spread ? next() % spread : 0));
        for (size_t k = fresh; k < size; k += fresh)
            memcpy(pixels + k, pixels, size - k < fresh ? size - k : fresh);
        const int found = ultraface_detect_with(&o, pixels, width, height, stride, arena,
                                                ULTRAFACE_ARENA_BYTES, faces, capacity);
        if (found < 0 || found > capacity ||
            !refused(o, pixels, width, height, stride, arena, faces)) {
            printf("picture %d, %s: %d\n", i, ultraface_kernels(), found);
            return 1;
        }
        free(faces);
        free(arena);
        free(pixels);
    }
    return 0;
}
