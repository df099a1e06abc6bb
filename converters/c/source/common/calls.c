/* ---- What callers see ---- */

ultraface_options ultraface_defaults(void)
{
    ultraface_options o;
    memset(&o, 0, sizeof o);
    o.score_threshold = (float)MILLIONTHS_OF_SCORE / 1000000;
    o.iou_threshold = 0.3f;
    o.candidates = ULTRAFACE_CANDIDATES;
    o.format = ULTRAFACE_BGR;
    o.threads = 1;
    return o;
}

static int bytes_of(ultraface_format format)
{
    switch (format) {
    case ULTRAFACE_BGR:
    case ULTRAFACE_RGB:
        return 3;
    case ULTRAFACE_RGB565:
        return 2;
    case ULTRAFACE_GRAY:
        return 1;
    }
    return 0;
}

/* Check the arguments and lay out the arena. */
static int begin(const ultraface_options *o, const uint8_t *pixels, int width, int height,
                 int stride, void *arena, size_t arena_bytes, call *c)
{
    memset(c, 0, sizeof *c);
    const int bytes = bytes_of(o->format);
    if (!pixels || width < 1 || height < 1 || width > 32767 || height > 32767 || !bytes ||
        stride < width * bytes)
        return ULTRAFACE_BAD_PICTURE;
    if (!arena || arena_bytes < ULTRAFACE_ARENA_BYTES)
        return ULTRAFACE_SMALL_ARENA;
    if (!(o->score_threshold >= 0 && o->score_threshold <= 1 && o->iou_threshold >= 0 &&
          o->iou_threshold <= 1) ||
        o->candidates < 1 || o->candidates > ULTRAFACE_CANDIDATES || o->threads < 1 ||
        (o->threads > 1 && !o->parallel_for))
        return ULTRAFACE_BAD_OPTIONS;
    c->k = choose_kernels();
    if (!c->k)
        return ULTRAFACE_NO_KERNELS;
    c->arena = (uint8_t *)arena + (64 - (uintptr_t)arena % 64) % 64;
    c->bands = o->threads < ULTRAFACE_THREADS ? o->threads : ULTRAFACE_THREADS;
    c->source.pixels = pixels;
    c->source.width = width;
    c->source.height = height;
    c->source.stride = stride;
    c->source.bytes = bytes;
    c->source.format = o->format;
    fit(&c->source, o->keep_aspect);
    if (!is_input(&c->source))
        split_columns(c->k, &c->source, c->arena);
    set_least(c, fixed_threshold(o));
    return ULTRAFACE_OK;
}

int ultraface_detect_with(const ultraface_options *options, const uint8_t *pixels, int width,
                          int height, int stride, void *arena, size_t arena_bytes,
                          ultraface_face *faces, int capacity)
{
    call c;
    if (!options || capacity < 0 || (capacity && !faces))
        return ULTRAFACE_BAD_OPTIONS;
    const int problem = begin(options, pixels, width, height, stride, arena, arena_bytes, &c);
    if (problem)
        return problem;
    run_network(options, &c);
    return find_faces(options, &c, faces, capacity);
}

int ultraface_detect(const uint8_t *bgr, int width, int height, int stride, void *arena,
                     size_t arena_bytes, ultraface_face *faces, int capacity)
{
    const ultraface_options options = ultraface_defaults();
    return ultraface_detect_with(&options, bgr, width, height, stride, arena, arena_bytes, faces,
                                 capacity);
}

int ultraface_run(const ultraface_options *options, const uint8_t *pixels, int width, int height,
                  int stride, void *arena, size_t arena_bytes, float *scores, float *boxes)
{
    call c;
    if (!options || !scores || !boxes)
        return ULTRAFACE_BAD_OPTIONS;
    const int problem = begin(options, pixels, width, height, stride, arena, arena_bytes, &c);
    if (problem)
        return problem;
    run_network(options, &c);
    const float unit = 1.0f / (1 << POINT);
    for (int map = 0; map < MAPS; map++)
        for (int pixel = 0; pixel < maps[map].rows * maps[map].columns; pixel++)
            for (int side = 0; side < maps[map].sides; side++) {
                int64_t above[CLASSES - 1], offsets[4];
                int32_t fixed[CLASSES];
                read_anchor(c.arena, map, pixel, side, above, offsets);
                softmax(above, fixed);
                for (int i = 0; i < CLASSES; i++)
                    *scores++ = (float)fixed[i] / (1 << SCORE_POINT);
                for (int i = 0; i < 4; i++)
                    *boxes++ = (float)offsets[i] * unit;
            }
    return ULTRAFACE_OK;
}

const char *ultraface_kernels(void)
{
    const kernels *k = choose_kernels();
    return k ? k->name : "none";
}
