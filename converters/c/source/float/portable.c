/* ---- Kernels in plain C ---- */

static void depthwise_portable(const filter *f, const value *const rows[3], value *out, int pixels,
                               int stride, int apart)
{
    for (int x = 0; x < pixels; x++) {
        const int at = x * stride * f->channels;
        for (int c = 0; c < f->channels; c++) {
            const float *w = f->weights + c / LANES * 9 * LANES + c % LANES;
            sum total = f->bias[c];
            for (int tap = 0; tap < 9; tap++)
                total += w[tap * LANES] * rows[tap / 3][at + tap % 3 * f->channels + c];
            out[x * apart + c] = total > 0 ? total : 0;
        }
    }
}

/* A row whose pixels have `rows` runs of `run` inputs. */
static void rows_portable(const matrix *m, const value *const *lines, int rows, int run, int apart,
                          float *out, int pixels)
{
    for (int n = 0; n < m->outputs; n += LANES)
        for (int x = 0; x < pixels; x++) {
            const float *w = m->weights + n * m->inputs;
            sum total[LANES];
            memcpy(total, m->bias + n, sizeof total);
            for (int r = 0; r < rows; r++)
                for (int k = 0; k < run; k++, w += LANES)
                    for (int i = 0; i < LANES; i++)
                        total[i] += w[i] * lines[r][x * apart + k];
            for (int i = 0; i < LANES; i++)
                out[x * m->outputs + n + i] = m->relu && !(total[i] > 0) ? 0 : total[i];
        }
}

static void multiply_portable(const matrix *m, const value *lines, void *out, int pixels, ahead *next)
{
    (void)next;
    rows_portable(m, &lines, 1, m->inputs, m->inputs, (float *)out, pixels);
}

static void first_portable(const matrix *m, const value *const rows[3], value *out, int pixels, ahead *next)
{
    (void)next;
    rows_portable(m, rows, 3, 9, 6, out, pixels);
}

static const kernels portable_kernels = {"portable", depthwise_portable, multiply_portable,
                                         first_portable, 0, 0};
