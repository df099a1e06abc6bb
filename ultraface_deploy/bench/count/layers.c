/* Counts instructions on an emulated core: SOURCE is a generated C file, which is included so that
   its parts can be run one by one. counter.c counts between two marks. Reads a picture of the
   network's size and one of LARGE_WIDTH x LARGE_HEIGHT; writes which kernels ran. */
#include SOURCE
#include <stdio.h>
#include <unistd.h>

enum { MARK = 0x55460000, LARGE_STRIDE = 3 * LARGE_WIDTH };
static uint8_t large[LARGE_STRIDE * LARGE_HEIGHT];
static uint8_t pixels[3 * ULTRAFACE_WIDTH * ULTRAFACE_HEIGHT];
static uint8_t arena[ULTRAFACE_ARENA_BYTES];
static ultraface_face faces[200];

int main(int count, char **paths)
{
    FILE *pictures = count == 3 ? fopen(paths[1], "rb") : 0;
    const ultraface_options o = ultraface_defaults();
    const int stride = 3 * ULTRAFACE_WIDTH;
    if (!pictures || fread(pixels, 1, sizeof pixels, pictures) != sizeof pixels ||
        fread(large, 1, sizeof large, pictures) != sizeof large)
        return 1;
    int found = 0;
    /* The second call is counted: memory and branches of the C library are warm. */
    for (int i = 0; i < 2; i++) {
        getpgid(MARK);
        found = ultraface_detect(pixels, ULTRAFACE_WIDTH, ULTRAFACE_HEIGHT, stride, arena,
                                 sizeof arena, faces, 200);
        if (i)
            getpgid(MARK + 1);
    }
    call c;
    begin(&o, large, LARGE_WIDTH, LARGE_HEIGHT, LARGE_STRIDE, arena, sizeof arena, &c);
    static value row[ROW_VALUES(ULTRAFACE_WIDTH, 3)];
    ahead none = {{0, 0}, 0, 0};
    getpgid(MARK);
    for (int y = 0; y < ULTRAFACE_HEIGHT; y++)
        resize_row(c.k, &c.source, c.arena, y, &none, row);
    getpgid(MARK + 1);
    ultraface_detect(large, LARGE_WIDTH, LARGE_HEIGHT, LARGE_STRIDE, arena, sizeof arena, faces, 200);
    getpgid(MARK);
    find_faces(&o, &c, faces, 200);
    getpgid(MARK + 1);
    FILE *said = fopen(paths[2], "w");
    if (!said || fprintf(said, "%s %d\n", ultraface_kernels(), found) < 0 || fclose(said))
        return 1;
    /* Every step again, alone, over what is left in the arena: counts do not depend on values. */
    begin(&o, pixels, ULTRAFACE_WIDTH, ULTRAFACE_HEIGHT, stride, arena, sizeof arena, &c);
    band b = band_of(&c, 0);
    for (int i = 0; i < STEPS; i++) {
        getpgid(MARK);
        for (int y = 0; y < steps[i].height; y++)
            make_row(&c, &b, &steps[i], y);
        getpgid(MARK + 1);
    }
    return 0;
}
