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
enum { PIXELS = ULTRAFACE_WIDTH * ULTRAFACE_HEIGHT, SPINS = 4000 };

/* Threads that wait for numbered rounds of tasks; the caller works with them. */
typedef struct {
    pthread_t threads[ULTRAFACE_THREADS];
    pthread_mutex_t lock;
    pthread_cond_t begun;
    int workers, stop;
    unsigned round;
    ultraface_task task;
    void *context;
    int count, next, finished;
} pool;

struct native {
    ultraface_options options;
    pool pool;
    uint8_t *arena;
    uint8_t *bgr;
};

/* Take tasks until none is left. */
static void work(pool *p, ultraface_task task, void *context, int count)
{
    for (int i; (i = __atomic_fetch_add(&p->next, 1, __ATOMIC_ACQ_REL)) < count;)
        task(context, i);
}

static void *worker(void *argument)
{
    pool *p = (pool *)argument;
    unsigned seen = 0;
    for (;;) {
        /* Rounds follow each other within microseconds, so sleeping comes last. */
        for (int i = 0; i < SPINS && __atomic_load_n(&p->round, __ATOMIC_ACQUIRE) == seen; i++)
            PAUSE();
        pthread_mutex_lock(&p->lock);
        while (p->round == seen && !p->stop)
            pthread_cond_wait(&p->begun, &p->lock);
        seen = p->round;
        const int stop = p->stop;
        const ultraface_task task = p->task;
        void *context = p->context;
        const int count = p->count;
        pthread_mutex_unlock(&p->lock);
        if (stop)
            return 0;
        work(p, task, context, count);
        __atomic_fetch_add(&p->finished, 1, __ATOMIC_ACQ_REL);
    }
}

static void parallel_for(void *argument, ultraface_task task, void *context, int count)
{
    pool *p = (pool *)argument;
    pthread_mutex_lock(&p->lock);
    p->task = task;
    p->context = context;
    p->count = count;
    __atomic_store_n(&p->next, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&p->finished, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&p->round, p->round + 1, __ATOMIC_RELEASE);
    pthread_cond_broadcast(&p->begun);
    pthread_mutex_unlock(&p->lock);
    work(p, task, context, count);
    /* All workers must have left the round before the next one may begin. */
    for (int i = 0; __atomic_load_n(&p->finished, __ATOMIC_ACQUIRE) < p->workers; i++)
        if (i < SPINS)
            PAUSE();
        else
            sched_yield(); /* the worker may be waiting for this core */
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
    n->options.threads = threads < ULTRAFACE_THREADS ? threads : ULTRAFACE_THREADS;
    n->options.parallel_for = parallel_for;
    n->options.pool = &n->pool;
    pthread_mutex_init(&n->pool.lock, 0);
    pthread_cond_init(&n->pool.begun, 0);
    const int workers = n->options.threads - 1;
    for (int i = 0; n->arena && n->bgr && i < workers; i++, n->pool.workers++)
        if (pthread_create(&n->pool.threads[i], 0, worker, &n->pool))
            break;
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
