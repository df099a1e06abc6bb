/* ---- From sums to faces, in integers ---- */

/* Bits behind the point of offsets and places, and of scores: faces that the network is sure of
   differ in the last ones. */
enum { POINT = 16, SCORE_POINT = 30 };
/* Offsets are less; what is no number is read as this. */
#define WILD ((int64_t)8192 << POINT)

/* exp of a number with 16 bits behind the point, 30 bits behind the point, for -40 to 6. */
static int64_t power_of_e(int64_t fixed)
{
    static const int32_t coefficients[] = {@POWER_COEFFICIENTS@};
    const int64_t binary = -(fixed * 1549082005 >> POINT); /* times log2(e) */
    const int64_t whole = binary >> 30, part = binary & ((1 << 30) - 1);
    const int last = (int)(sizeof coefficients / sizeof *coefficients) - 1;
    int64_t power = coefficients[last]; /* 2**-part */
    for (int i = last - 1; i >= 0; i--)
        power = (power * part >> 30) + coefficients[i];
    return whole >= 0 ? power >> (whole < 40 ? whole : 40) : power * ((int64_t)1 << -whole);
}

/* Scores of all classes, background first, of logits above background. */
static void softmax(const int64_t *above, int32_t *scores)
{
    int64_t largest = 0, total = 0, powers[CLASSES];
    for (int i = 0; i < CLASSES - 1; i++)
        largest = above[i] > largest ? above[i] : largest;
    for (int i = 0; i < CLASSES; i++) {
        powers[i] = power_of_e((i ? above[i - 1] : 0) - largest);
        total += powers[i];
    }
    for (int i = 0; i < CLASSES; i++)
        scores[i] = (int32_t)(((powers[i] << SCORE_POINT) + total / 2) / total);
}

/* The logits and box offsets of an anchor. */
static void read_anchor(const uint8_t *arena, int map, int pixel, int side, int64_t *above,
                        int64_t *offsets)
{
    const feature_map *m = &maps[map];
    const sum *made = sums_of(arena, map, pixel / m->columns) + pixel % m->columns * m->outputs;
    for (int i = 0; i < CLASSES - 1; i++) {
        const int at = side * (CLASSES - 1) + i;
        above[i] = to_point(made[at], m->scale[at]);
    }
    for (int i = 0; i < 4; i++) {
        const int at = m->sides * (CLASSES - 1) + 4 * side + i;
        offsets[i] = to_point(made[at], m->scale[at]);
    }
}

/* x1, y1, x2, y2 with 16 bits behind the point, 0 to 1 over the network's input (Liu et al., 2016,
   "SSD", section 2.2). Returns 0 of offsets that make no box: those of a sum that is no number,
   and those whose exponential exceeds what a float holds. */
static int decode(int map, int pixel, int side, const int64_t *offsets, int64_t *box)
{
    for (int i = 0; i < 4; i++)
        if (offsets[i] <= -WILD || offsets[i] >= WILD)
            return 0;
    const feature_map *m = &maps[map];
    const int64_t anchor[2] = {m->wide[side], m->high[side]};
    const int64_t centers[2] = {
        ((int64_t)(2 * (pixel % m->columns) + 1) << POINT) / (2 * m->columns),
        ((int64_t)(2 * (pixel / m->columns) + 1) << POINT) / (2 * m->rows)};
    for (int i = 0; i < 2; i++) {
        const int64_t center = centers[i] + ((offsets[i] * anchor[i] >> POINT) * CENTER_VARIANCE >> 24);
        int64_t size = offsets[2 + i] * SIZE_VARIANCE >> 24;
        if (size > 88 << POINT)
            return 0;
        size = size > 6 << POINT ? 6 << POINT : size;
        const int64_t half = power_of_e(size) * anchor[i] >> 31;
        box[i] = center - half;
        box[2 + i] = center + half;
    }
    return 1;
}

typedef struct {
    int64_t box[4]; /* with 8 bits behind the point, in pixels of the picture */
    int64_t exact[4];
    int32_t score;
} candidate;

/* The least logit whose score may exceed `threshold`; exact scores decide afterwards. */
static int64_t least_logit(int32_t threshold)
{
    int64_t low = -(32 << POINT), high = 32 << POINT;
    while (high - low > 1) {
        const int64_t middle = (low + high) / 2;
        const int64_t power = power_of_e(middle < 0 ? middle : -middle), one = 1 << 30;
        const int64_t score = ((middle < 0 ? power : one) << SCORE_POINT) / (one + power);
        if (score < threshold)
            low = middle;
        else
            high = middle;
    }
    return low - 256;
}

/* Put a candidate behind those that are no worse; the worst falls out of a full list. */
static int insert(candidate *list, int count, int limit, const candidate *c)
{
    int place = count < limit ? count : limit;
    while (place > 0 && list[place - 1].score < c->score)
        place--;
    if (place == limit)
        return count;
    count = count < limit ? count + 1 : limit;
    memmove(list + place + 1, list + place, (size_t)(count - 1 - place) * sizeof *list);
    list[place] = *c;
    return count;
}

/* Whether an anchor has a box of a score above `threshold`. */
static int read_candidate(const call *c, int map, int pixel, int side, int label, int32_t threshold,
                          candidate *found)
{
    int64_t above[CLASSES - 1], offsets[4];
    int32_t scores[CLASSES];
    read_anchor(c->arena, map, pixel, side, above, offsets);
    softmax(above, scores);
    found->score = scores[label];
    if (found->score <= threshold || !decode(map, pixel, side, offsets, found->exact))
        return 0;
    for (int i = 0; i < 4; i++) {
        /* What the whole input spans, in pixels of the picture. */
        if (i % 2)
            found->exact[i] = found->exact[i] * (c->source.height * ULTRAFACE_HEIGHT) / c->source.high;
        else
            found->exact[i] = found->exact[i] * (c->source.width * ULTRAFACE_WIDTH) / c->source.wide;
        found->box[i] = found->exact[i] >> (POINT - 8);
    }
    return 1;
}

/* Find what the sums of a face are at least. */
static void set_least(call *c, int32_t threshold)
{
    const int64_t least = least_logit(threshold);
    for (int map = 0; map < MAPS; map++)
        for (int i = 0; i < maps[map].sides * (CLASSES - 1); i++)
            c->least[map][i] = least_sum(least, maps[map].scale[i]);
}

/* Add the anchors of a row that score above `threshold`; returns how many there are then. Most are
   told by their sums: nothing is computed of them. */
static int find_in_row(const call *c, int map, int y, int label, int32_t threshold, int limit,
                       candidate *list, int count)
{
    const feature_map *m = &maps[map];
    const sum *made = sums_of(c->arena, map, y);
    for (int x = 0; x < m->columns; x++, made += m->outputs)
        for (int side = 0; side < m->sides; side++) {
            const int at = side * (CLASSES - 1) + label - 1;
            candidate found;
            if (made[at] >= c->least[map][at] &&
                read_candidate(c, map, y * m->columns + x, side, label, threshold, &found))
                count = insert(list, count, limit, &found);
        }
    return count;
}

/* The best anchors of a class. */
static int find_candidates(const call *c, int label, int32_t threshold, int limit, candidate *list)
{
    int count = 0;
    for (int map = 0; map < MAPS; map++)
        for (int y = 0; y < maps[map].rows; y++) {
            const uint8_t *noticed = noticed_of(c->arena, map, y);
            if (noticed[0] | noticed[1])
                count = find_in_row(c, map, y, label, threshold, limit, list, count);
        }
    return count;
}

static int64_t area(const int64_t *box)
{
    const int64_t wide = box[2] - box[0], high = box[3] - box[1];
    return wide > 0 && high > 0 ? wide * high : 0;
}

/* Whether intersection over union exceeds `threshold`, which has 14 bits behind the point. */
static int overlap(const int64_t *a, const int64_t *b, int64_t threshold)
{
    const int64_t shared[4] = {a[0] > b[0] ? a[0] : b[0], a[1] > b[1] ? a[1] : b[1],
                               a[2] < b[2] ? a[2] : b[2], a[3] < b[3] ? a[3] : b[3]};
    const int64_t both = area(shared);
    return both << 14 > threshold * (area(a) + area(b) - both);
}

/* Drop what overlaps a better candidate; returns how many are left. */
static int suppress(candidate *list, int count, int64_t threshold)
{
    int kept = 0;
    for (int i = 0; i < count; i++) {
        int better = 0;
        while (better < kept && !overlap(list[better].box, list[i].box, threshold))
            better++;
        if (better == kept)
            list[kept++] = list[i];
    }
    return kept;
}

static ultraface_face to_face(const candidate *c, int label)
{
    ultraface_face face;
    const float unit = 1.0f / (1 << POINT);
    face.x1 = (float)c->exact[0] * unit;
    face.y1 = (float)c->exact[1] * unit;
    face.x2 = (float)c->exact[2] * unit;
    face.y2 = (float)c->exact[3] * unit;
    face.score = (float)c->score / (1 << SCORE_POINT);
    face.label = label;
    return face;
}

static int32_t fixed_threshold(const ultraface_options *o)
{
    return (int32_t)(o->score_threshold * (1 << SCORE_POINT));
}

static int find_faces(const ultraface_options *o, const call *c, ultraface_face *faces, int capacity)
{
    candidate *list = (candidate *)(void *)(c->arena + CANDIDATES);
    const int32_t threshold = fixed_threshold(o);
    const int64_t overlapping = (int64_t)(o->iou_threshold * (1 << 14) + 0.5f);
    int count = 0;
    for (int label = 1; label < CLASSES; label++) {
        int found = find_candidates(c, label, threshold, o->candidates, list);
        found = suppress(list, found, overlapping);
        for (int i = 0; i < found; i++) {
            const ultraface_face face = to_face(&list[i], label);
            int place = count < capacity ? count : capacity;
            while (place > 0 && faces[place - 1].score < face.score)
                place--;
            if (place == capacity)
                continue;
            count = count < capacity ? count + 1 : capacity;
            memmove(faces + place + 1, faces + place, (size_t)(count - 1 - place) * sizeof face);
            faces[place] = face;
        }
    }
    return count;
}
