/* Reaches into a generated file: SOURCE is its path. */
#include SOURCE

/* What the network reads of a BGR picture, as bytes. */
int harness_resize(const uint8_t *pixels, int width, int height, int stride, int format,
                   int keep_aspect, uint8_t *to)
{
    static uint8_t arena[ULTRAFACE_ARENA_BYTES];
    ultraface_options o = ultraface_defaults();
    o.format = (ultraface_format)format;
    o.keep_aspect = keep_aspect;
    call c;
    const int problem = begin(&o, pixels, width, height, stride, arena, sizeof arena, &c);
    if (problem)
        return problem;
    value row[ROW_VALUES(ULTRAFACE_WIDTH, 3)];
    for (int y = 0; y < ULTRAFACE_HEIGHT; y++) {
        ahead none = {{0, 0}, 0, 0};
        resize_row(c.k, &c.source, c.arena, y, &none, row);
        for (int i = 0; i < 3 * ULTRAFACE_WIDTH; i++)
            *to++ = (uint8_t)(row[i] - from_level(0));
    }
    return 0;
}

/* A parallel_for that runs the tasks one after the other, the last first. */
static void backwards(void *pool, ultraface_task task, void *context, int count)
{
    (void)pool;
    while (count-- > 0)
        task(context, count);
}

int harness_run(const uint8_t *pixels, int width, int height, int stride, int threads,
                float *scores, float *boxes)
{
    static uint8_t arena[ULTRAFACE_ARENA_BYTES + 1];
    ultraface_options o = ultraface_defaults();
    o.threads = threads;
    o.parallel_for = backwards;
    /* What an arena held before must not matter, nor where it begins. */
    memset(arena, threads * 77, sizeof arena);
    return ultraface_run(&o, pixels, width, height, stride, arena + 1, sizeof arena - 1, scores,
                         boxes);
}

int harness_detect(const uint8_t *pixels, int width, int height, int stride, int format,
                   float threshold, int keep_aspect, int threads, ultraface_face *faces,
                   int capacity)
{
    static uint8_t arena[ULTRAFACE_ARENA_BYTES];
    ultraface_options o = ultraface_defaults();
    o.format = (ultraface_format)format;
    o.score_threshold = threshold;
    o.keep_aspect = keep_aspect;
    o.threads = threads;
    o.parallel_for = backwards;
    return ultraface_detect_with(&o, pixels, width, height, stride, arena, sizeof arena, faces,
                                 capacity);
}

/* A sum of an FP32 network with 16 bits behind the point. */
int64_t harness_point(double made)
{
    return to_point((sum)made, 1 << POINT);
}

/* Whether the offsets of the first anchor make a box. */
int harness_decode(const int64_t *offsets, int64_t *box)
{
    return decode(0, 0, 0, offsets, box);
}
