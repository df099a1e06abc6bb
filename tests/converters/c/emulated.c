/* Reads a picture of the network's size, writes scores and boxes, low bytes first. */
#include SOURCE
#include <stdio.h>

static uint8_t pixels[3 * ULTRAFACE_WIDTH * ULTRAFACE_HEIGHT];
static uint8_t arena[ULTRAFACE_ARENA_BYTES];
static float scores[ULTRAFACE_ANCHORS * ULTRAFACE_CLASSES], boxes[ULTRAFACE_ANCHORS * 4];

static void put(const float *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, numbers + i, 4);
        for (int byte = 0; byte < 4; byte++)
            putchar((int)(bits >> 8 * byte & 255));
    }
}

int main(void)
{
    const ultraface_options o = ultraface_defaults();
    if (fread(pixels, 1, sizeof pixels, stdin) != sizeof pixels)
        return 1;
    if (ultraface_run(&o, pixels, ULTRAFACE_WIDTH, ULTRAFACE_HEIGHT, 3 * ULTRAFACE_WIDTH, arena,
                      sizeof arena, scores, boxes))
        return 2;
    fprintf(stderr, "%s", ultraface_kernels());
    put(scores, sizeof scores / 4);
    put(boxes, sizeof boxes / 4);
    return 0;
}
