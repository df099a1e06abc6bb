/* ---- What kernels are ---- */

/* Where an output column of the picture reads: the byte offset of its left pixel, and the weights
   of that and the next, which add up to 2**ACROSS. */
enum { DOWN = 7, ACROSS = 11 };
typedef struct {
    int32_t left;
    int16_t weights[2];
} column;

/* Lines of the picture that are read soon: bytes `from` to `end` behind each of two places. Kernels
   ask for a few while they compute, so that memory is not waited for. */
typedef struct {
    const uint8_t *places[2];
    ptrdiff_t from, end;
} ahead;

/* Ask for up to `count` times 64 bytes of each place. */
static inline void ask(ahead *next, int count)
{
#if defined(__GNUC__)
    for (; count > 0 && next->from < next->end; count--, next->from += 64) {
        __builtin_prefetch(next->places[0] + next->from);
        __builtin_prefetch(next->places[1] + next->from);
    }
#else
    (void)next;
    (void)count;
#endif
}

/* The kernels of one instruction set.
   depthwise: rows[i] starts at the pixel left of the first; `apart` is from one output pixel to
   the next. multiply: `lines` holds pixels x inputs. first: 3x3 of stride 2 over three colours; in
   INT8 its matrix has 12 inputs a row, in blocks of their own, of which the last 3 have no weight.
   resize, where there is one: `count` columns of a line from two rows of BGR of which it reads 8
   bytes a column; `below` is the weight of the lower row; returns how many columns it made, and
   may write 16 bytes behind them. spread, where there is one, makes what `resize` reads
   behind the columns, TAP_BYTES of it, once for a picture. */
typedef struct {
    const char *name;
    void (*depthwise)(const filter *f, const value *const rows[3], value *out, int pixels,
                      int stride, int apart);
    void (*multiply)(const matrix *m, const value *lines, void *out, int pixels, ahead *next);
    void (*first)(const matrix *m, const value *const rows[3], value *out, int pixels,
                  ahead *next);
    int (*resize)(const uint8_t *upper, const uint8_t *lower, int below, const column *columns,
                  int count, ahead *next, byte *row);
    void (*spread)(const column *columns, int count, uint8_t *taps);
} kernels;
