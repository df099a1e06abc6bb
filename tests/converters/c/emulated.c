/* Reads a picture of the network's size, writes scores and boxes, low bytes first, then what the
   network reads of made-up pictures of other sizes. */
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

static void resize_made_up(int width, int height)
{
    static uint8_t picture[3 * 1500 * 300];
    const ultraface_options o = ultraface_defaults();
    static value row[ROW_VALUES(ULTRAFACE_WIDTH, 3)];
    call c;
    for (uint32_t i = 0; i < (uint32_t)(3 * width * height); i++)
        picture[i] = (uint8_t)(i * i * 2654435761u >> 13);
    if (begin(&o, picture, width, height, 3 * width, arena, sizeof arena, &c))
        return;
    for (int y = 0; y < ULTRAFACE_HEIGHT; y++) {
        ahead none = {{0, 0}, 0, 0};
        resize_row(c.k, &c.source, c.arena, y, &none, row);
        for (int i = 0; i < 3 * ULTRAFACE_WIDTH; i++)
            putchar((uint8_t)(row[i] - from_level(0)));
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
    resize_made_up(300, 200);
    resize_made_up(1500, 300);
    resize_made_up(7, 5);
    return 0;
}
