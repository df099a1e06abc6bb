/* What a page needs around the detector: room for a picture, OpenCV's resize, and the faces. */

#include ULTRAFACE_HEADER

#define EXPORT(name) __attribute__((export_name(#name)))

#if ULTRAFACE_THREADS > 1
#include "threads.h"
#endif

enum {
    WIDTH = ULTRAFACE_WIDTH,
    HEIGHT = ULTRAFACE_HEIGHT,
    FACES = 1000,
    PAGE = 65536,
    BITS = 11, /* of a weight behind the point */
};

extern unsigned char __heap_base;

static uint8_t arena[ULTRAFACE_ARENA_BYTES];
static uint8_t resized[HEIGHT * WIDTH * 3];
static ultraface_face faces[FACES];

/* The two pixels that a resized one is made of, along one axis, and their weights. */
typedef struct {
    int32_t first, second;
    uint32_t weights[2];
} tap;

static tap columns[WIDTH], rows[HEIGHT];
static uint16_t lines[2][3 * WIDTH];

EXPORT(input_width) int input_width(void) { return WIDTH; }
EXPORT(input_height) int input_height(void) { return HEIGHT; }
EXPORT(found) const ultraface_face *found(void) { return faces; }
EXPORT(capacity) int capacity(void) { return FACES; }

/* Return where a picture of four bytes a pixel is to be written, 0 where memory does not reach. */
EXPORT(room) uint8_t *room(uint32_t width, uint32_t height)
{
    const uintptr_t start = ((uintptr_t)&__heap_base + 63) / 64 * 64;
    const uint64_t end = start + (uint64_t)width * height * 4;
    const uint64_t pages = (end + PAGE - 1) / PAGE, have = __builtin_wasm_memory_size(0);
    if (pages > PAGE)
        return 0;
    if (pages > have && __builtin_wasm_memory_grow(0, (size_t)(pages - have)) == (size_t)-1)
        return 0;
    return (uint8_t *)start;
}

static int clamp(int value, int most) { return value < 0 ? 0 : value > most ? most : value; }

/* How much of `most` a side takes, rounded as Python rounds. */
static int fitted(int side, double scale, int most)
{
    const int length = (int)__builtin_rint(side * scale);
    return length < 1 ? 1 : length > most ? most : length;
}

/* Bilinear as OpenCV's resize of bytes computes it (INTER_LINEAR). At the border a column takes
   the one pixel alone, a row takes it twice, which rounds otherwise. */
static void make_taps(tap *taps, int source, int target, int once)
{
    const double scale = 1.0 / ((double)target / source);
    for (int i = 0; i < target; i++) {
        const float position = (float)((i + 0.5) * scale - 0.5);
        int first = (int)position;
        if ((float)first > position)
            first--;
        float fraction = position - (float)first;
        if (once && (first < 0 || first >= source - 1))
            fraction = 0;
        taps[i].first = clamp(first, source - 1);
        taps[i].second = clamp(first + 1, source - 1);
        taps[i].weights[0] = (uint32_t)__builtin_rintf((1 - fraction) * (1 << BITS));
        taps[i].weights[1] = (uint32_t)__builtin_rintf(fraction * (1 << BITS));
    }
}

static void mix_columns(const uint8_t *row, int wide, uint16_t *line)
{
    for (int x = 0; x < wide; x++, line += 3) {
        const uint8_t *first = row + 4 * columns[x].first, *second = row + 4 * columns[x].second;
        const uint32_t *weights = columns[x].weights;
        for (int c = 0; c < 3; c++)
            line[c] = (uint16_t)((first[c] * weights[0] + second[c] * weights[1]) >> 4);
    }
}

static void resize(const uint8_t *rgba, int width, int height, int wide, int high)
{
    make_taps(columns, width, wide, 1);
    make_taps(rows, height, high, 0);
    int held[2] = {-1, -1};
    for (int y = 0; y < high; y++) {
        const int wanted[2] = {rows[y].first, rows[y].second};
        int place[2] = {-1, -1};
        /* Neighbouring rows share lines, so the last two are kept. */
        for (int i = 0; i < 2; i++) {
            place[i] = held[0] == wanted[i] ? 0 : held[1] == wanted[i] ? 1 : -1;
            if (place[i] >= 0)
                continue;
            place[i] = i ? 1 - place[0] : held[0] == wanted[1];
            held[place[i]] = wanted[i];
            mix_columns(rgba + (size_t)wanted[i] * width * 4, wide, lines[place[i]]);
        }
        const uint16_t *top = lines[place[0]], *bottom = lines[place[1]];
        const uint32_t first = rows[y].weights[0], second = rows[y].weights[1];
        for (int i = 0; i < 3 * wide; i++)
            resized[y * 3 * wide + i] =
                (uint8_t)(((top[i] * first >> 16) + (bottom[i] * second >> 16) + 2) >> 2);
    }
}

/* Find the faces of the picture that was written into `room`, best first, in its pixels; helpers
   may be fewer than `threads` less one. `keep_aspect` fits the picture into the network's input,
   0 stretches it; `candidates` are the most boxes that enter suppression. Returns how many, or a negative error of the detector's header. */
EXPORT(detect)
int detect(int width, int height, float threshold, float overlap, int most, int threads,
           int keep_aspect, int candidates)
{
    if (width < 1 || height < 1)
        return ULTRAFACE_BAD_PICTURE;
    int wide = WIDTH, high = HEIGHT;
    if (keep_aspect) {
        const double across = (double)WIDTH / width, down = (double)HEIGHT / height;
        wide = fitted(width, across < down ? across : down, WIDTH);
        high = fitted(height, across < down ? across : down, HEIGHT);
    }
    resize(room(0, 0), width, height, wide, high);
    ultraface_options options = ultraface_defaults();
    options.score_threshold = threshold;
    options.iou_threshold = overlap;
    options.candidates = candidates;
    options.format = ULTRAFACE_RGB;
    options.keep_aspect = keep_aspect; /* fills one side already, so that the rest is padded */
#if ULTRAFACE_THREADS > 1
    options.threads = clamp(threads, ULTRAFACE_THREADS);
    options.parallel_for = share;
#else
    (void)threads;
#endif
    const int limit = most < 1 || most > FACES ? FACES : most;
    const int count = ultraface_detect_with(&options, resized, wide, high, 3 * wide, arena,
                                            sizeof arena, faces, limit);
    const float across = (float)width / wide, down = (float)height / high;
    for (int i = 0; i < count; i++) {
        faces[i].x1 *= across;
        faces[i].x2 *= across;
        faces[i].y1 *= down;
        faces[i].y2 *= down;
    }
    return count;
}
