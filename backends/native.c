/* What the native backend needs around a generated detector: threads, and tensors for bytes. */

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

typedef struct {
    ultraface_options options;
    pool pool;
    uint8_t *arena;
    uint8_t *bgr;
} detector;

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

void native_close(detector *d)
{
    pool *p = &d->pool;
    pthread_mutex_lock(&p->lock);
    p->stop = 1;
    pthread_cond_broadcast(&p->begun);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->workers; i++)
        pthread_join(p->threads[i], 0);
    free(d->arena);
    free(d->bgr);
    free(d);
}

/* Returns null without memory or threads. */
detector *native_open(void)
{
    detector *d = (detector *)calloc(1, sizeof *d);
    if (!d)
        return 0;
    d->arena = (uint8_t *)malloc(ULTRAFACE_ARENA_BYTES);
    d->bgr = (uint8_t *)malloc(3 * PIXELS);
    d->options = ultraface_defaults();
    d->options.threads = ULTRAFACE_THREADS;
    d->options.parallel_for = parallel_for;
    d->options.pool = &d->pool;
    pthread_mutex_init(&d->pool.lock, 0);
    pthread_cond_init(&d->pool.begun, 0);
    for (int i = 0; d->arena && d->bgr && i < ULTRAFACE_THREADS - 1; i++, d->pool.workers++)
        if (pthread_create(&d->pool.threads[i], 0, worker, &d->pool))
            break;
    if (d->arena && d->bgr && d->pool.workers == ULTRAFACE_THREADS - 1)
        return d;
    native_close(d);
    return 0;
}

static uint8_t to_byte(float number)
{
    return (uint8_t)(number < 0 ? 0 : number > 255 ? 255 : number + 0.5f);
}

/* The network on a tensor (3, HEIGHT, WIDTH) RGB of (byte - mean) / std. */
int native_run(detector *d, const float *tensor, float mean, float std, float *scores, float *boxes)
{
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < PIXELS; i++)
            d->bgr[3 * i + 2 - c] = to_byte(tensor[c * PIXELS + i] * std + mean);
    return ultraface_run(&d->options, d->bgr, ULTRAFACE_WIDTH, ULTRAFACE_HEIGHT,
                         3 * ULTRAFACE_WIDTH, d->arena, ULTRAFACE_ARENA_BYTES, scores, boxes);
}

/* From a picture to faces. */
int native_detect(detector *d, const uint8_t *bgr, int width, int height, int stride,
                  ultraface_face *faces, int capacity)
{
    return ultraface_detect_with(&d->options, bgr, width, height, stride, d->arena,
                                 ULTRAFACE_ARENA_BYTES, faces, capacity);
}
