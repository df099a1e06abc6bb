/* ---- The picture, resized line by line ---- */

/* Bilinear as in OpenCV's INTER_LINEAR: pixel centres coincide, borders repeat. Weights have 7 bits
   down and 11 across, so that a result is at most 2 levels from OpenCV's. */
typedef struct {
    const uint8_t *pixels;
    int width, height, stride, bytes; /* bytes of a pixel */
    int wide, high; /* of the part of the network's input that it fills, from the top left */
    ultraface_format format;
} picture;

/* Split output place `to` of `wide` into the input place before it, of `size`, and a fraction. Sides
   have 15 bits, so that all of it has 31. */
static int32_t split(int32_t to, int32_t wide, int32_t size, int bits, int32_t *fraction)
{
    const int32_t twice = (2 * to + 1) * size - wide;
    *fraction = 0;
    if (twice <= 0)
        return 0;
    const int32_t place = twice / (2 * wide);
    if (place >= size - 1) {
        /* The last pixel, written as the right one of the last pair. */
        *fraction = size > 1 ? 1 << bits : 0;
        return size > 1 ? size - 2 : 0;
    }
    *fraction = ((twice % (2 * wide) << bits) + wide) / (2 * wide);
    return place;
}

/* side * numerator / denominator, rounded to the nearest, of two to the even one. */
static int scaled(int side, int numerator, int denominator)
{
    const int64_t product = (int64_t)side * numerator;
    const int64_t whole = product / denominator, twice = 2 * (product % denominator);
    const int64_t rounded = whole + (twice > denominator || (twice == denominator && whole % 2));
    return rounded > 0 ? (int)rounded : 1;
}

/* Let the picture fill the network's input, or as much of it as keeps the aspect ratio. */
static void fit(picture *p, int keep_aspect)
{
    p->wide = ULTRAFACE_WIDTH;
    p->high = ULTRAFACE_HEIGHT;
    if (!keep_aspect)
        return;
    if ((int64_t)ULTRAFACE_WIDTH * p->height < (int64_t)ULTRAFACE_HEIGHT * p->width)
        p->high = scaled(p->height, ULTRAFACE_WIDTH, p->width);
    else
        p->wide = scaled(p->width, ULTRAFACE_HEIGHT, p->height);
}

static void split_columns(const kernels *k, const picture *p, uint8_t *arena)
{
    column *columns = (column *)(void *)(arena + COLUMNS);
    for (int x = 0; x < p->wide; x++) {
        int32_t weight;
        columns[x].left = p->bytes * split(x, p->wide, p->width, ACROSS, &weight);
        columns[x].weights[0] = (int16_t)((1 << ACROSS) - weight);
        columns[x].weights[1] = (int16_t)weight;
    }
    if (k->spread && p->format == ULTRAFACE_BGR)
        k->spread(columns, p->wide, (uint8_t *)(columns + ULTRAFACE_WIDTH));
}

/* Blue, green and red of a pixel, 0 to 255. */
static void read_pixel(const uint8_t *pixel, ultraface_format format, int *bgr)
{
    if (format == ULTRAFACE_GRAY) {
        bgr[0] = bgr[1] = bgr[2] = pixel[0];
    } else if (format == ULTRAFACE_RGB565) {
        const int both = pixel[0] | pixel[1] << 8; /* low byte first */
        const int red = both >> 11, green = both >> 5 & 63, blue = both & 31;
        bgr[0] = blue << 3 | blue >> 2;
        bgr[1] = green << 2 | green >> 4;
        bgr[2] = red << 3 | red >> 2;
    } else {
        const int swap = format == ULTRAFACE_RGB ? 2 : 0;
        bgr[0] = pixel[swap];
        bgr[1] = pixel[1];
        bgr[2] = pixel[2 - swap];
    }
}

/* How many columns a kernel may read 8 bytes for: those that end inside the picture. */
static int readable_columns(const picture *p, int top, const column *columns)
{
    const int below = p->height - 1 > top ? p->height - 2 - top : 0; /* rows under the lower one */
    const ptrdiff_t readable = (ptrdiff_t)below * p->stride + p->width * p->bytes;
    int count = p->wide;
    while (count > 0 && columns[count - 1].left + 8 > readable)
        count--;
    return count;
}

/* Whether a picture is read as it is. */
static int is_input(const picture *p)
{
    return p->width == ULTRAFACE_WIDTH && p->height == ULTRAFACE_HEIGHT &&
           p->format == ULTRAFACE_BGR;
}

static void copy_row(const uint8_t *from, byte *row)
{
    for (int i = 0; i < 3 * ULTRAFACE_WIDTH; i++)
        row[i] = from_level(from[i]);
}

/* Resize line y into the columns that the picture fills. */
static void resize_columns(const kernels *k, const picture *p, const column *columns, int y,
                           ahead *next, byte *row)
{
    int32_t below;
    const int32_t top = split(y, p->high, p->height, DOWN, &below);
    const uint8_t *upper = p->pixels + (ptrdiff_t)top * p->stride;
    const uint8_t *lower = p->height > 1 ? upper + p->stride : upper;
    const int apart = p->width > 1 ? p->bytes : 0;
    int x = 0;
    if (k->resize && p->format == ULTRAFACE_BGR)
        x = k->resize(upper, lower, below, columns, readable_columns(p, top, columns), next, row);
    for (; x < p->wide; x++) {
        int corners[4][3];
        read_pixel(upper + columns[x].left, p->format, corners[0]);
        read_pixel(upper + columns[x].left + apart, p->format, corners[1]);
        read_pixel(lower + columns[x].left, p->format, corners[2]);
        read_pixel(lower + columns[x].left + apart, p->format, corners[3]);
        for (int i = 0; i < 3; i++) {
            const int32_t left = corners[0][i] * ((1 << DOWN) - below) + corners[2][i] * below;
            const int32_t right = corners[1][i] * ((1 << DOWN) - below) + corners[3][i] * below;
            const int32_t level = left * columns[x].weights[0] + right * columns[x].weights[1];
            row[3 * x + i] = from_level((level + (1 << (DOWN + ACROSS - 1))) >> (DOWN + ACROSS));
        }
    }
}

/* Write line y of the network's input, ULTRAFACE_WIDTH x 3 values in the order BGR. */
static void resize_row(const kernels *k, const picture *p, const uint8_t *arena, int y, ahead *next,
                       value *row)
{
    byte spare[3 * ULTRAFACE_WIDTH + 16], *levels = levels_of(row, spare);
    const int inside = y < p->high;
    if (is_input(p))
        copy_row(p->pixels + (ptrdiff_t)y * p->stride, levels);
    else if (inside)
        resize_columns(k, p, (const column *)(const void *)(arena + COLUMNS), y, next, levels);
    /* Last, because kernels write behind the columns. */
    for (int i = inside ? 3 * p->wide : 0; i < 3 * ULTRAFACE_WIDTH; i++)
        levels[i] = from_level(MEAN_LEVEL);
    read_levels(levels, row, 3 * ULTRAFACE_WIDTH);
}

/* What lines y and y + 1 read, to be asked for. */
static ahead lines_ahead(const picture *p, int y)
{
    ahead next;
    memset(&next, 0, sizeof next);
    if (y + 1 >= p->high)
        return next;
    for (int i = 0; i < 2; i++) {
        int32_t ignored;
        const int32_t top = split(y + i, p->high, p->height, DOWN, &ignored);
        next.places[i] = p->pixels + (ptrdiff_t)top * p->stride;
    }
    next.end = (p->height > 1 ? p->stride : 0) + p->width * p->bytes;
    return next;
}
