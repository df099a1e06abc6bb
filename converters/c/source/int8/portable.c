/* ---- Kernels in plain C ---- */

static void depthwise_portable(const filter *f, const value *const rows[3], value *out, int pixels,
                               int stride, int apart)
{
    for (int x = 0; x < pixels; x++) {
        const int column = x * stride * f->channels;
        for (int c = 0; c < f->channels; c++) {
            const int8_t *w = f->weights + c / LANES * 3 * 4 * LANES + c % LANES * 4;
            sum total = f->bias[c];
            for (int dx = 0; dx < 3; dx++)
                for (int dy = 0; dy < 3; dy++)
                    total += w[dx * 4 * LANES + dy] * rows[dy][column + dx * f->channels + c];
            out[x * apart + c] = rescaled(total, f->multiplier[c]);
        }
    }
}

/* The sums of 16 outputs, of which `w` holds the weights. */
static inline void sums_portable(const int8_t *w, const value *line, int inputs, sum *total)
{
    for (int left = inputs; left > 0; left -= 16) {
        const int groups = left < 16 ? left / 4 : 4;
        for (int g = 0; g < groups; g++, line += 4)
            for (int n = 0; n < LANES; n++) {
                const int8_t *of = w + 16 * VECTOR(g, n / 4, groups) + n % 4 * 4;
                total[n] += of[0] * line[0] + of[1] * line[1] + of[2] * line[2] + of[3] * line[3];
            }
        w += groups * 4 * LANES;
    }
}

static void multiply_portable(const matrix *m, const value *lines, void *out, int pixels, ahead *next)
{
    (void)next;
    for (int n = 0; n < m->outputs; n += LANES)
        for (int x = 0; x < pixels; x++) {
            sum total[LANES];
            memcpy(total, m->bias + n, sizeof total);
            sums_portable(m->weights + n * m->inputs, lines + x * m->inputs, m->inputs, total);
            if (!m->multiplier)
                memcpy((sum *)out + x * m->outputs + n, total, sizeof total);
            else
                for (int i = 0; i < LANES; i++)
                    ((value *)out)[x * m->outputs + n + i] =
                        rescaled(total[i], m->multiplier[n + i]);
        }
}

static void first_portable(const matrix *m, const value *const rows[3], value *out, int pixels, ahead *next)
{
    (void)next;
    for (int n = 0; n < m->outputs; n += LANES)
        for (int x = 0; x < pixels; x++) {
            sum total[LANES];
            memcpy(total, m->bias + n, sizeof total);
            for (int dy = 0; dy < 3; dy++)
                sums_portable(m->weights + n * m->inputs + dy * 12 * LANES, rows[dy] + 6 * x, 12,
                              total);
            for (int i = 0; i < LANES; i++)
                out[x * m->outputs + n + i] = rescaled(total[i], m->multiplier[n + i]);
        }
}

static const kernels portable_kernels = {"portable", depthwise_portable, multiply_portable,
                                         first_portable, 0, 0};
