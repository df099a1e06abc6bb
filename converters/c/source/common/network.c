/* ---- The network, row by row ---- */

/* A stored tensor; each row has a pixel of padding on either side. Of a streamed tensor a band keeps
   `rows` rows, row y at y % rows, `offset` from the start of the band's. Of others the first `rows`
   lie in the first half of the arena, `offset` from its start, and the rest at the same place of the
   second half: so two threads write memory of their own, which neither has to fetch. */
typedef struct {
    size_t offset;
    int height, width, channels, rows;
} tensor;

typedef struct {
    int tensor, start, channels;
} slice;

enum kind { FIRST, BLOCK, HEADS, POINTWISE, CONV, JOIN };

/* One step: a line of inputs for every output row, and the matrix that it is multiplied by. Steps of
   one round read nothing that the others make. */
typedef struct {
    enum kind kind;
    int round, sources, output; /* output: the tensor, or -1 - (the feature map) */
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
    int first, end; /* the steps of the current round */
    int bands;
    /* By feature map: the least sum of a side and class that may be a face. */
    sum least[MAPS][sizeof maps->wide / sizeof *maps->wide * (CLASSES - 1)];
} call;

/* A share of the output rows, with rows of the streamed tensors of its own. */
typedef struct {
    uint8_t *rows;
    value *line; /* that is multiplied */
    int next[STREAMED + 1]; /* the row that comes next; [0] is the picture */
    ahead picture; /* what is read of it soon */
} band;

static value *row_of(const call *c, const band *b, int index, int y)
{
    const tensor *t = &tensors[index];
    uint8_t *start = index < STREAMED ? b->rows : c->arena + y / t->rows * HALF;
    return (value *)(void *)(start + t->offset) +
           (size_t)(y % t->rows) * (size_t)ROW_VALUES(t->width, t->channels);
}

/* The sums of a row of a feature map, which lie in halves as tensors do. */
static sum *sums_of(const uint8_t *arena, int map, int y)
{
    const feature_map *m = &maps[map];
    const int half = (m->rows + 1) / 2;
    return (sum *)(void *)(uintptr_t)(arena + m->offset + y / half * HALF) +
           y % half * m->columns * m->outputs;
}

/* Whether the left and the right half of such a row may have a face, behind the sums. */
static uint8_t *noticed_of(const uint8_t *arena, int map, int y)
{
    const int half = (maps[map].rows + 1) / 2;
    return (uint8_t *)(sums_of(arena, map, y / half * half) +
                       half * maps[map].columns * maps[map].outputs) + 2 * (y % half);
}

/* Rows above and below a tensor are padding. */
static const value *row_or_padding(const call *c, const band *b, int index, int y)
{
    if (y < 0 || y >= tensors[index].height)
        return (const value *)(const void *)(c->arena + (index ? NOTHING : NO_PICTURE));
    return row_of(c, b, index, y);
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

/* Pixels `from` to `end` of row y of what a step makes. */
typedef struct {
    int y, from, end;
} part;

static int limited(int x, int least, int most)
{
    return x < least ? least : x > most ? most : x;
}

/* Gather the nine taps of every pixel. */
static void gather_taps(const call *c, const band *b, const step *s, part p, value *line)
{
    const slice *from = &s->source[0];
    const int channels = tensors[from->tensor].channels, apart = s->product.inputs;
    line -= p.from * apart;
    for (int dy = -1; dy <= 1; dy++) {
        const int at = p.y + dy * s->dilation;
        const int inside = at >= 0 && at < s->height;
        const value *row = inside ? row_of(c, b, from->tensor, at) + channels + from->start : 0;
        for (int dx = -1; dx <= 1; dx++) {
            value *to = line + ((dy + 1) * 3 + dx + 1) * from->channels;
            const int shift = dx * s->dilation;
            /* The columns whose tap lies inside, none outside the tensor. */
            const int first = inside ? limited(-shift, p.from, p.end) : p.end;
            const int end = inside ? limited(s->width - shift, first, p.end) : p.end;
            for (int x = p.from; x < first; x++)
                fill(to + x * apart, s->zero, from->channels);
            if (first < end)
                copy_pixels(to + first * apart, apart, row + (first + shift) * channels, channels,
                            from->channels, end - first);
            for (int x = end; x < p.end; x++)
                fill(to + x * apart, s->zero, from->channels);
        }
    }
    const int used = 9 * from->channels;
    for (int x = p.from; x < p.end && used < apart; x++)
        fill(line + x * apart + used, 0, apart - used);
}

/* Lay the channels of several tensors beside each other. */
static void gather_sources(const call *c, const band *b, const step *s, part p, value *line)
{
    for (int i = 0, place = 0; i < s->sources; place += s->source[i++].channels) {
        const slice *from = &s->source[i];
        const int channels = tensors[from->tensor].channels;
        const value *row = row_of(c, b, from->tensor, p.y) + channels + from->start;
        copy_pixels(line + place, s->product.inputs, row + p.from * channels, channels,
                    from->channels, p.end - p.from);
    }
}

/* The first pixel of a part where it is stored. */
static void *place_of(const call *c, const band *b, const step *s, part p)
{
    const int outputs = s->product.outputs;
    if (s->output >= 0)
        return row_of(c, b, s->output, p.y) + (1 + p.from) * outputs;
    return sums_of(c->arena, -1 - s->output, p.y) + p.from * outputs;
}

/* Note whether a part of a feature map may have a face, while its sums are near. */
static void notice(const call *c, int map, part p, const sum *made)
{
    const feature_map *m = &maps[map];
    uint8_t *noticed = noticed_of(c->arena, map, p.y), any = 0;
    for (int x = p.from; x < p.end; x++, made += m->outputs)
        for (int i = 0; i < m->sides * (CLASSES - 1); i++)
            any |= made[i] >= c->least[map][i];
    if (p.from == 0)
        noticed[0] = any;
    if (p.end == m->columns)
        noticed[1] = any;
}

/* Make a part of a step's row, and what lies beside the row where the part ends with it. */
static void make_part(const call *c, band *b, const step *s, part p)
{
    value *line = b->line;
    const value *inputs = line;
    const int first = s->source[0].tensor, channels = tensors[first].channels;
    const int pixels = p.end - p.from, outputs = s->product.outputs;
    void *out = place_of(c, b, s, p);
    const value *rows[3] = {0, 0, 0};
    if (s->kind == FIRST || s->kind == BLOCK || s->kind == HEADS)
        for (int dy = 0; dy < 3; dy++)
            rows[dy] = row_or_padding(c, b, first, p.y * s->stride + dy - 1) +
                       p.from * s->stride * channels;
    switch (s->kind) {
    case FIRST:
        c->k->first(&s->product, rows, (value *)out, pixels, &b->picture);
        break;
    case HEADS:
        c->k->depthwise(&s->filters[1], rows, line + s->filters[0].channels, pixels, 1,
                        s->product.inputs);
        c->k->depthwise(&s->filters[0], rows, line, pixels, 1, s->product.inputs);
        break;
    case BLOCK:
        c->k->depthwise(&s->filters[0], rows, line, pixels, s->stride, s->product.inputs);
        break;
    case CONV:
        gather_taps(c, b, s, p, line);
        break;
    case JOIN:
        gather_sources(c, b, s, p, line);
        break;
    case POINTWISE:
        inputs = row_of(c, b, first, p.y) + (1 + p.from) * channels;
        break;
    }
    if (s->kind != FIRST)
        c->k->multiply(&s->product, inputs, out, pixels, &b->picture);
    if (s->output < 0)
        notice(c, -1 - s->output, p, (const sum *)out);
    if (s->output >= 0 && p.from == 0)
        fill((value *)out - outputs, NOTHING_VALUE, outputs);
    if (s->output >= 0 && p.end == s->width)
        fill((value *)out + pixels * outputs, NOTHING_VALUE, outputs);
}

static void make_row(const call *c, band *b, const step *s, int y)
{
    const part whole = {y, 0, s->width};
    make_part(c, b, s, whole);
}

/* Make row y of the picture. */
static void read_row(const call *c, band *b, int y)
{
    value *row = row_of(c, b, 0, y);
    if (y % 2 == 0)
        b->picture = lines_ahead(&c->source, y + 2);
    resize_row(c->k, &c->source, c->arena, y, &b->picture, row + 3);
    fill(row, MEAN, 3);
    fill(row + 3 * (ULTRAFACE_WIDTH + 1), MEAN, 3);
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
            for (; b->next[0] < needed; b->next[0]++)
                read_row(c, b, b->next[0]);
        make_row(c, b, &steps[index], y);
    }
}

static band band_of(const call *c, int index)
{
    band b;
    memset(&b, 0, sizeof b);
    b.line = (value *)(void *)(c->arena + LINES + index * LINE_BYTES);
    b.rows = c->arena + (index < 2 ? STREAM + index * HALF
                                   : LINES + ULTRAFACE_THREADS * LINE_BYTES + (index - 2) * STREAM_BYTES);
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

/* One band of every step of the current round. Rows are shared by halves: of 15 each of two threads
   makes as much. */
static void round_task(void *context, int index)
{
    const call *c = (const call *)context;
    band b = band_of(c, index);
    for (int i = c->first; i < c->end; i++) {
        const step *s = &steps[i];
        const int pieces = s->width > 1 ? 2 : 1, end = pieces * s->height * (index + 1) / c->bands;
        for (int at = pieces * s->height * index / c->bands; at < end;) {
            const int right = at % pieces, whole = !right && at + pieces <= end;
            const part p = {at / pieces, right ? s->width / 2 : 0,
                            right || whole ? s->width : s->width / 2};
            make_part(c, &b, s, p);
            at += whole ? pieces : 1;
        }
    }
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
    for (c->first = STREAMED; c->first < STEPS; c->first = c->end) {
        c->end = c->first + 1;
        while (c->end < STEPS && steps[c->end].round == steps[c->first].round)
            c->end++;
        run_tasks(o, round_task, c);
    }
}
