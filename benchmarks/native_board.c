/* A detection on a bare Cortex-M: reads picture.raw (RGB565) and says what it found by
   semihosting, through which the emulator lends a program its host's files and terminal: the ticks
   that LOOPS rounds of two instructions took and those of the detection, then the faces. */
#include SOURCE

static uint8_t arena[ULTRAFACE_ARENA_BYTES];
static uint8_t pixels[2 * ULTRAFACE_WIDTH * ULTRAFACE_HEIGHT];
static ultraface_face faces[20];

enum { OPEN = 1, WRITE = 4, READ = 6, EXIT = 24, ENDED = 0x20026 };

static int host(int operation, const void *argument)
{
    register int r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static void say(long number)
{
    char text[16] = {0};
    int place = 14;
    text[place--] = ' ';
    const int negative = number < 0;
    for (number = negative ? -number : number; place > 1; number /= 10) {
        text[place--] = (char)('0' + number % 10);
        if (number < 10)
            break;
    }
    if (negative)
        text[place--] = '-';
    host(WRITE, text + place + 1);
}

/* The processor's own clock. An emulator that counts instructions lets it run by them. */
static volatile uint32_t *const control = (volatile uint32_t *)0xE000E010;
enum { LOOPS = 10000000, WHOLE = 0x1000000 };
static volatile uint32_t rounds;

static void next_round(void)
{
    rounds++;
}

static uint64_t ticks(void)
{
    uint32_t before, left;
    do {
        before = rounds;
        left = control[2];
    } while (before != rounds);
    return (uint64_t)before * WHOLE + (WHOLE - left) % WHOLE;
}

static uint64_t ticks_of_loop(void)
{
    control[1] = WHOLE - 1;
    control[2] = 0;
    control[0] = 7;
    const uint64_t began = ticks();
    uint32_t left = LOOPS;
    __asm__ volatile("1: subs %0, #1\n bne 1b" : "+l"(left) : : "cc");
    return ticks() - began;
}

static void detect(void)
{
    const struct {
        const char *name;
        int mode, length;
    } file = {"picture.raw", 1, 11};
    struct {
        int file;
        void *to;
        int length;
    } wanted = {host(OPEN, &file), pixels, sizeof pixels};
    if (host(READ, &wanted))
        return;
    ultraface_options o = ultraface_defaults();
    o.format = ULTRAFACE_RGB565;
    o.score_threshold = 0.05f;
    const uint64_t loop = ticks_of_loop(), began = ticks();
    const int found = ultraface_detect_with(&o, pixels, ULTRAFACE_WIDTH, ULTRAFACE_HEIGHT,
                                            2 * ULTRAFACE_WIDTH, arena, sizeof arena, faces, 20);
    const uint64_t taken = ticks() - began;
    say((long)loop);
    say((long)taken);
    say(found);
    for (int i = 0; i < found; i++) {
        say((long)(faces[i].x1 * 256));
        say((long)(faces[i].y2 * 256));
        say((long)(faces[i].score * (1 << 24)));
    }
}

void reset(void)
{
    extern uint32_t bss_begin, bss_end;
    *(volatile uint32_t *)0xE000ED88 |= 0xF00000; /* the floating-point unit may be used */
    __asm__ volatile("dsb\n isb");
    for (uint32_t *at = &bss_begin; at < &bss_end; at++)
        *at = 0;
    detect();
    host(EXIT, (const void *)ENDED);
    for (;;)
        ;
}

extern uint8_t stack_top;
__attribute__((section(".vectors"), used)) static const void *const vectors[16] = {
    &stack_top, (const void *)reset, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, (const void *)next_round};
