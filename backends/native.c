/* What stands around a generated detector, whose header ULTRAFACE_HEADER names. */

#include "native.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include ULTRAFACE_HEADER

#if defined(__x86_64__)
#define PAUSE() __builtin_ia32_pause()
#else
#define PAUSE() (void)0
#endif
enum { PIXELS = ULTRAFACE_WIDTH * ULTRAFACE_HEIGHT, SPINS = 4000, MOST_THREADS = 32 };

/* Threads that wait for tasks; the caller works with them, and has the first. A bit of `unclaimed`
   is another that nobody has begun: who clears it runs it, so a thread that comes late finds
   nothing to do and nobody waits for it. */
typedef struct {
    pthread_t threads[MOST_THREADS];
    pthread_mutex_t lock; /* only for sleeping */
    pthread_cond_t begun;
    int workers, sleeping, stop;
    ultraface_task task;
    void *context;
    uint32_t unclaimed;
    uint8_t apart[64]; /* who waits for `finished` reads another line of the cache */
    int finished;
} pool;

typedef struct {
    pool *of;
    uint32_t own; /* the bit of the task that this thread takes first, for its cache's sake */
} member;

struct native {
    ultraface_options options;
    pool pool;
    member members[MOST_THREADS];
    uint8_t *arena;
    uint8_t *bgr;
};

/* Run tasks until all are claimed. */
static void work(pool *p, uint32_t own)
{
    uint32_t left;
    while ((left = __atomic_load_n(&p->unclaimed, __ATOMIC_ACQUIRE)) != 0) {
        const uint32_t bit = left & own ? own : left & (~left + 1);
        if (!(__atomic_fetch_and(&p->unclaimed, ~bit, __ATOMIC_ACQ_REL) & bit))
            continue; /* another was faster */
        p->task(p->context, __builtin_ctz(bit));
        __atomic_fetch_add(&p->finished, 1, __ATOMIC_RELEASE);
    }
}

/* Sleep until there are tasks; returns whether to stop. */
static int sleep_until_begun(pool *p)
{
    pthread_mutex_lock(&p->lock);
    __atomic_fetch_add(&p->sleeping, 1, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&p->unclaimed, __ATOMIC_SEQ_CST) && !p->stop)
        pthread_cond_wait(&p->begun, &p->lock);
    __atomic_fetch_sub(&p->sleeping, 1, __ATOMIC_SEQ_CST);
    const int stop = p->stop;
    pthread_mutex_unlock(&p->lock);
    return stop;
}

static void *worker(void *argument)
{
    const member *m = (const member *)argument;
    pool *p = m->of;
    for (;;) {
        /* Rounds follow each other within microseconds, so sleeping comes last. */
        for (int i = 0; i < SPINS && !__atomic_load_n(&p->unclaimed, __ATOMIC_ACQUIRE); i++)
            PAUSE();
        if (!__atomic_load_n(&p->unclaimed, __ATOMIC_ACQUIRE) && sleep_until_begun(p))
            return 0;
        work(p, m->own);
    }
}

static void parallel_for(void *argument, ultraface_task task, void *context, int count)
{
    pool *p = (pool *)argument;
    p->task = task;
    p->context = context;
    __atomic_store_n(&p->finished, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&p->unclaimed, (~(uint32_t)0 >> (32 - count)) - 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&p->sleeping, __ATOMIC_SEQ_CST)) {
        pthread_mutex_lock(&p->lock);
        pthread_cond_broadcast(&p->begun);
        pthread_mutex_unlock(&p->lock);
    }
    task(context, 0);
    work(p, 0);
    for (int i = 0; __atomic_load_n(&p->finished, __ATOMIC_ACQUIRE) < count - 1; i++)
        if (i < SPINS)
            PAUSE();
        else
            sched_yield(); /* who runs the last task may be waiting for this core */
}

void native_close(native *n)
{
    pool *p = &n->pool;
    pthread_mutex_lock(&p->lock);
    p->stop = 1;
    pthread_cond_broadcast(&p->begun);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->workers; i++)
        pthread_join(p->threads[i], 0);
    pthread_cond_destroy(&p->begun);
    pthread_mutex_destroy(&p->lock);
    free(n->arena);
    free(n->bgr);
    free(n);
}

native *native_open(int threads)
{
    native *n = (native *)calloc(1, sizeof *n);
    if (!n)
        return 0;
    n->arena = (uint8_t *)malloc(ULTRAFACE_ARENA_BYTES);
    n->bgr = (uint8_t *)calloc(PIXELS, 3);
    n->options = ultraface_defaults();
    const int most = ULTRAFACE_THREADS < MOST_THREADS ? ULTRAFACE_THREADS : MOST_THREADS;
    n->options.threads = threads < most ? threads : most;
    n->options.parallel_for = parallel_for;
    n->options.pool = &n->pool;
    pthread_mutex_init(&n->pool.lock, 0);
    pthread_cond_init(&n->pool.begun, 0);
    const int workers = n->options.threads - 1;
    for (int i = 0; n->arena && n->bgr && i < workers; i++, n->pool.workers++) {
        n->members[i].of = &n->pool;
        n->members[i].own = (uint32_t)2 << i;
        if (pthread_create(&n->pool.threads[i], 0, worker, &n->members[i]))
            break;
    }
    if (n->arena && n->bgr && n->pool.workers == workers)
        return n;
    native_close(n);
    return 0;
}

int native_run(native *n, float *scores, float *boxes)
{
    return ultraface_run(&n->options, n->bgr, ULTRAFACE_WIDTH, ULTRAFACE_HEIGHT,
                         3 * ULTRAFACE_WIDTH, n->arena, ULTRAFACE_ARENA_BYTES, scores, boxes);
}

void native_put_tensor(native *n, const float *tensor, float mean, float std)
{
    for (int y = 0; y < ULTRAFACE_HEIGHT; y++)
        for (int c = 0; c < 3; c++) {
            /* Apart from the strided stores, so that compilers find vectors. */
            int32_t levels[ULTRAFACE_WIDTH];
            const float *from = tensor + c * PIXELS + y * ULTRAFACE_WIDTH;
            uint8_t *to = n->bgr + 3 * y * ULTRAFACE_WIDTH + 2 - c;
            for (int x = 0; x < ULTRAFACE_WIDTH; x++) {
                const float level = from[x] * std + (mean + 0.5f);
                const float above = level > 0 ? level : 0;
                levels[x] = (int32_t)(above < 255 ? above : 255);
            }
            for (int x = 0; x < ULTRAFACE_WIDTH; x++)
                to[3 * x] = (uint8_t)levels[x];
        }
}

/* From a picture of any size to faces, for measuring. */
int native_detect(native *n, const uint8_t *bgr, int width, int height, int stride,
                  ultraface_face *faces, int capacity)
{
    return ultraface_detect_with(&n->options, bgr, width, height, stride, n->arena,
                                 ULTRAFACE_ARENA_BYTES, faces, capacity);
}
