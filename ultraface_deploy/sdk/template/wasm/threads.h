/* Threads that share one picture. Each is a worker with an instance of this module over the same
   memory, so that what is static here they all see; each has a stack of its own. A page's server
   must allow it, see README.md beside the page. */

enum {
    HELPERS = ULTRAFACE_THREADS - 1,
    STACK_BYTES = 1 << 16,
    LOOKS = 4000, /* at the number of a turn before a thread sleeps: some ten microseconds */
};

static uint8_t stacks[HELPERS][STACK_BYTES] __attribute__((aligned(16)));

/* The turn's number, how many parts it has and how many of them are taken: one word, so that a
   part is taken only of the turn that was seen. */
static uint32_t ticket;
static uint32_t unfinished; /* parts of it */
static ultraface_task turn_task;
static void *turn_context;

static uint32_t taken(uint32_t seen) { return seen & 255; }
static uint32_t parts(uint32_t seen) { return seen >> 8 & 255; }

static uint32_t look(uint32_t *word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }

static void await_change(uint32_t *word, uint32_t seen)
{
    for (int i = 0; i < LOOKS; i++)
        if (look(word) != seen)
            return;
    __builtin_wasm_memory_atomic_wait32((int *)word, (int)seen, -1);
}

/* Do parts of the turn until all are taken; returns the ticket that says so. */
static uint32_t take_parts(void)
{
    uint32_t seen = look(&ticket);
    while (taken(seen) < parts(seen)) {
        if (!__atomic_compare_exchange_n(&ticket, &seen, seen + 1, 0, __ATOMIC_ACQ_REL,
                                         __ATOMIC_ACQUIRE))
            continue;
        turn_task(turn_context, (int)taken(seen));
        if (__atomic_sub_fetch(&unfinished, 1, __ATOMIC_ACQ_REL) == 0)
            __builtin_wasm_memory_atomic_notify((int *)&unfinished, 1);
        seen = look(&ticket);
    }
    return seen;
}

static void share(void *pool, ultraface_task task, void *context, int count)
{
    (void)pool;
    turn_task = task;
    turn_context = context;
    __atomic_store_n(&unfinished, (uint32_t)count, __ATOMIC_RELEASE);
    const uint32_t turn = (look(&ticket) >> 16) + 1;
    __atomic_store_n(&ticket, turn << 16 | (uint32_t)count << 8, __ATOMIC_RELEASE);
    __builtin_wasm_memory_atomic_notify((int *)&ticket, (unsigned)count - 1);
    take_parts();
    for (uint32_t left; (left = look(&unfinished)) != 0;)
        await_change(&unfinished, left);
}

EXPORT(helpers) int helpers(void) { return HELPERS; }

/* Where the stack of a helper begins, from 0; stacks grow downwards. */
EXPORT(stack_of) uint8_t *stack_of(int helper) { return stacks[helper] + STACK_BYTES; }

/* What a helper does, until its worker is ended. */
EXPORT(help) void help(void)
{
    for (;;)
        await_change(&ticket, take_parts());
}
