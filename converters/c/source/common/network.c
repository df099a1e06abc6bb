/* ---- The network, row by row ---- */

/* A stored tensor: `rows` of its rows are kept, row y at y % rows; each has a pixel of padding on
   either side. `offset` is from the start of the arena, or of a band for streamed tensors. */
typedef struct {
    size_t offset;
    int height, width, channels, rows;
} tensor;

typedef struct {
    int tensor, start, channels;
} slice;

enum kind { FIRST, BLOCK, HEADS, POINTWISE, CONV, JOIN };

/* One step: a line of inputs for every output row, and the matrix that it is multiplied by. */
typedef struct {
    enum kind kind;
    int sources, output; /* output: the tensor, or -1 - (the feature map) */
    slice source[4];
    int height, width, stride, dilation, zero;
    filter filters[2];
    matrix product;
} step;

/*@TABLES@*/

/* What one call knows; it lies on the caller's stack. */
typedef struct {
    const kernels *k;
    uint8_t *arena;
    picture source;
    const step *current;
    int bands;
} call;

/* A share of the output rows, with rows of the streamed tensors of its own. */
typedef struct {
    uint8_t *memory;
    int next[STREAMED + 1]; /* the row that comes next; [0] is the picture */
    ahead picture; /* what is read of it soon */
} band;

static value *row_of(const call *c, const band *b, int index, int y)
{
    const tensor *t = &tensors[index];
    uint8_t *start = index <= STREAMED - 1 ? b->memory : c->arena;
    return (value *)(void *)(start + t->offset) +
           (size_t)(y % t->rows) * (size_t)ROW_VALUES(t->width, t->channels);
}

/* Rows above and below a tensor are padding. */
static const value *row_or_padding(const call *c, const band *b, int index, int y)
{
    if (y < 0 || y >= tensors[index].height)
        return (const value *)(const void *)(c->arena + (index ? NOTHING : NO_PICTURE));
    return row_of(c, b, index, y);
}

/* Fill the pixel on either side of a row. */
static void pad_row(value *row, int width, int channels, int zero)
{
    for (int side = 0; side < 2; side++)
        fill(row + side * (width + 1) * channels, zero, channels);
}

/* Copy `size` values of each of `count` pixels. */
static void copy_pixels(value *to, int to_apart, const value *from, int from_apart, int size,
                        int count)
{
    /* Sizes that the compiler knows become single instructions. */
    for (int x = 0; x < count; x++, to += to_apart, from += from_apart)
        if (size == 8)
            memcpy(to, from, 8 * sizeof(value));
        else if (size == 16)
            memcpy(to, from, 16 * sizeof(value));
        else
            memcpy(to, from, (size_t)size * sizeof(value));
}

/* Gather the nine taps of every pixel of a row. */
static void gather_taps(const call *c, const band *b, const step *s, int y, value *line)
{
    const slice *from = &s->source[0];
    const int channels = tensors[from->tensor].channels, apart = s->product.inputs;
    for (int dy = -1; dy <= 1; dy++) {
        const int at = y + dy * s->dilation;
        const int inside = at >= 0 && at < s->height;
        const value *row = inside ? row_of(c, b, from->tensor, at) + channels + from->start : 0;
        for (int dx = -1; dx <= 1; dx++) {
            value *to = line + ((dy + 1) * 3 + dx + 1) * from->channels;
            const int shift = dx * s->dilation;
            /* The columns whose tap lies inside, none outside the tensor. */
            int first = inside ? (shift < 0 ? -shift : 0) : s->width;
            int end = inside ? (shift > 0 ? s->width - shift : s->width) : s->width;
            first = first < s->width ? first : s->width;
            end = end > first ? end : first;
            for (int x = 0; x < first; x++)
                fill(to + x * apart, s->zero, from->channels);
            if (first < end)
                copy_pixels(to + first * apart, apart, row + (first + shift) * channels, channels,
                            from->channels, end - first);
            for (int x = end; x < s->width; x++)
                fill(to + x * apart, s->zero, from->channels);
        }
    }
    const int used = 9 * from->channels;
    for (int x = 0; x < s->width && used < apart; x++)
        fill(line + x * apart + used, 0, apart - used);
}

/* Lay the channels of several tensors beside each other. */
static void gather_sources(const call *c, const band *b, const step *s, int y, value *line)
{
    for (int i = 0, place = 0; i < s->sources; place += s->source[i++].channels) {
        const slice *from = &s->source[i];
        const int channels = tensors[from->tensor].channels;
        const value *row = row_of(c, b, from->tensor, y) + channels + from->start;
        copy_pixels(line + place, s->product.inputs, row, channels, from->channels, s->width);
    }
}

/* Make row y of a step. */
static void make_row(const call *c, band *b, const step *s, int y)
{
    value *line = (value *)(void *)(b->memory + LINE);
    const value *inputs = line;
    void *out = s->output < 0
                    ? (void *)((sum *)(void *)(c->arena + maps[-1 - s->output].offset) +
                               y * s->width * s->product.outputs)
                    : (void *)(row_of(c, b, s->output, y) + s->product.outputs);
    const value *rows[3] = {0, 0, 0};
    const int first = s->source[0].tensor;
    if (s->kind == FIRST || s->kind == BLOCK || s->kind == HEADS)
        for (int dy = 0; dy < 3; dy++)
            rows[dy] = row_or_padding(c, b, first, y * s->stride + dy - 1);
    switch (s->kind) {
    case FIRST:
        c->k->first(&s->product, rows, (value *)out, s->width, &b->picture);
        break;
    case HEADS:
        c->k->depthwise(&s->filters[1], rows, line + s->filters[0].channels, s->width, 1,
                        s->product.inputs);
        c->k->depthwise(&s->filters[0], rows, line, s->width, 1, s->product.inputs);
        break;
    case BLOCK:
        c->k->depthwise(&s->filters[0], rows, line, s->width, s->stride, s->product.inputs);
        break;
    case CONV:
        gather_taps(c, b, s, y, line);
        break;
    case JOIN:
        gather_sources(c, b, s, y, line);
        break;
    case POINTWISE:
        inputs = row_of(c, b, first, y) + tensors[first].channels;
        break;
    }
    if (s->kind != FIRST)
        c->k->multiply(&s->product, inputs, out, s->width, &b->picture);
    if (s->output >= 0)
        pad_row((value *)out - s->product.outputs, s->width, s->product.outputs, NOTHING_VALUE);
}

/* Make the rows of a streamed step up to `end`, first those of the step before that they need. */
static void stream_rows(const call *c, band *b, int index, int end)
{
    for (; b->next[index + 1] < end; b->next[index + 1]++) {
        const int y = b->next[index + 1];
        const int height = tensors[steps[index].source[0].tensor].height;
        const int below = y * steps[index].stride + 2;
        const int needed = below < height ? below : height;
        if (index > 0)
            stream_rows(c, b, index - 1, needed);
        else
            for (; b->next[0] < needed; b->next[0]++) {
                value *row = row_of(c, b, 0, b->next[0]);
                if (b->next[0] % 2 == 0)
                    b->picture = lines_ahead(&c->source, b->next[0] + 2);
                resize_row(c->k, &c->source, c->arena, b->next[0], &b->picture, row + 3);
                pad_row(row, ULTRAFACE_WIDTH, 3, MEAN);
            }
        make_row(c, b, &steps[index], y);
    }
}

static band band_of(const call *c, int index)
{
    band b;
    memset(&b, 0, sizeof b);
    b.memory = c->arena + BANDS + (size_t)index * BAND_BYTES;
    return b;
}

/* One band of the streamed steps, from the picture to the last tensor of them. */
static void stream_task(void *context, int index)
{
    const call *c = (const call *)context;
    band b = band_of(c, index);
    const int height = steps[STREAMED - 1].height;
    b.next[STREAMED] = height * index / c->bands;
    for (int i = STREAMED - 1; i >= 0; i--) {
        const int above = b.next[i + 1] * steps[i].stride - 1;
        b.next[i] = above > 0 ? above : 0;
    }
    stream_rows(c, &b, STREAMED - 1, height * (index + 1) / c->bands);
}

/* One band of the rows of the current step. */
static void step_task(void *context, int index)
{
    const call *c = (const call *)context;
    band b = band_of(c, index);
    const step *s = c->current;
    for (int y = s->height * index / c->bands; y < s->height * (index + 1) / c->bands; y++)
        make_row(c, &b, s, y);
}

static void run_tasks(const ultraface_options *o, ultraface_task task, call *c)
{
    if (c->bands > 1)
        o->parallel_for(o->pool, task, c, c->bands);
    else
        task(c, 0);
}

static void run_network(const ultraface_options *o, call *c)
{
    fill((value *)(void *)(c->arena + NOTHING), NOTHING_VALUE, NOTHING_BYTES / (int)sizeof(value));
    fill((value *)(void *)(c->arena + NO_PICTURE), MEAN, ROW_VALUES(ULTRAFACE_WIDTH, 3));
    run_tasks(o, stream_task, c);
    for (int i = STREAMED; i < STEPS; i++) {
        c->current = &steps[i];
        run_tasks(o, step_task, c);
    }
}
