/* ---- Kernels for @SET@, @WIDE@ numbers at once ---- */

/* `pixels` x (vectors * @WIDE@) outputs from `n`. */
@TARGET@ INLINE void tile_@SET@(const matrix *m, int n, const value *const *lines, int rows, int run,
                          int apart, int offset, float *out, const int pixels, const int vectors)
{
    @VECTOR@ sums[20];
    const float *w = m->weights + n / LANES * LANES * m->inputs;
    const int next = LANES * m->inputs, part = LANES / @WIDE@;
    UNROLL for (int p = 0; p < pixels; p++)
        UNROLL for (int v = 0; v < vectors; v++)
            sums[p * vectors + v] = @LOAD@(m->bias + n + v * @WIDE@);
    for (int r = 0; r < rows; r++) {
        const value *line = lines[r] + offset;
        for (int k = 0; k < run; k++, w += LANES) {
            @VECTOR@ weights[4];
            UNROLL for (int v = 0; v < vectors; v++)
                weights[v] = @LOAD@(w + v / part * next + v % part * @WIDE@);
            UNROLL for (int p = 0; p < pixels; p++) {
                const @VECTOR@ input = @SET1@(line[p * apart + k]);
                UNROLL for (int v = 0; v < vectors; v++)
                    sums[p * vectors + v] = @FMA@(weights[v], input, sums[p * vectors + v]);
            }
        }
    }
    UNROLL for (int p = 0; p < pixels; p++)
        UNROLL for (int v = 0; v < vectors; v++) {
            @VECTOR@ made = sums[p * vectors + v];
            if (m->relu)
                made = @MAX@(made, @SET1@(0));
            @STORE@(out + p * m->outputs + n + v * @WIDE@, made);
        }
}

/* All pixels of a row, `many` at once; the last tile overlaps the one before it. */
#define ROW_@SET@(name, many, vectors)                                                            \
    @TARGET@ static void name(const matrix *m, int n, const value *const *lines, int rows,        \
                              int run, int apart, float *out, int pixels, ahead *next)            \
    {                                                                                             \
        const int step = pixels < many ? 1 : many;                                                \
        for (int x = 0; x < pixels; x += step) {                                                  \
            const int at = x + step > pixels ? pixels - step : x;                                 \
            float *to = out + at * m->outputs;                                                    \
            ask(next, 3);                                                                         \
            if (step == 1)                                                                        \
                tile_@SET@(m, n, lines, rows, run, apart, at * apart, to, 1, vectors);            \
            else                                                                                  \
                tile_@SET@(m, n, lines, rows, run, apart, at * apart, to, many, vectors);         \
        }                                                                                         \
    }
@ROWS@

@TARGET@ static void rows_@SET@(const matrix *m, const value *const *lines, int rows, int run,
                          int apart, float *out, int pixels, ahead *next)
{
    int n = 0;
@CALLS@
}

@TARGET@ static void multiply_@SET@(const matrix *m, const value *lines, void *out, int pixels, ahead *next)
{
    rows_@SET@(m, &lines, 1, m->inputs, m->inputs, (float *)out, pixels, next);
}

@TARGET@ static void first_@SET@(const matrix *m, const value *const rows[3], value *out, int pixels, ahead *next)
{
    rows_@SET@(m, rows, 3, 9, 6, out, pixels, next);
}

@TARGET@ static void depthwise_@SET@(const filter *f, const value *const rows[3], value *out,
                               int pixels, int stride, int apart)
{
    const int channels = f->channels, step = stride * channels;
    for (int c = 0; c < channels; c += @WIDE@) {
        const float *w = f->weights + c / LANES * 9 * LANES + c % LANES;
        @VECTOR@ weights[9];
        UNROLL for (int tap = 0; tap < 9; tap++)
            weights[tap] = @LOAD@(w + tap * LANES);
        const @VECTOR@ bias = @LOAD@(f->bias + c);
        for (int x = 0, at = c; x < pixels; x++, at += step) {
            @VECTOR@ made = bias;
            UNROLL for (int tap = 0; tap < 9; tap++)
                made = @FMA@(weights[tap], @LOAD@(rows[tap / 3] + at + tap % 3 * channels), made);
            @STORE@(out + x * apart + c, @MAX@(made, @SET1@(0)));
        }
    }
}

static const kernels @SET@_kernels = {"@SET@", depthwise_@SET@, multiply_@SET@, first_@SET@,
                                    resize_@RESIZE@, 0};
