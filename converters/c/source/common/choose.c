/* ---- The choice of kernels ---- */

#ifndef ULTRAFACE_NO_ENVIRONMENT
#include <stdlib.h>
#endif

static int always(void)
{
    return 1;
}

/* The best first, each with whether this processor has the instructions. */
static const struct {
    const kernels *set;
    int (*usable)(void);
} choices[] = {
#ifdef X86
@X86@
#endif
#ifdef ARM64
@ARM64@
#endif
#ifdef WASM
    {&wasm_kernels, always},
#endif
    {&portable_kernels, always},
};

static const kernels *choose_kernels(void)
{
    const char *wanted = 0;
#ifdef ULTRAFACE_KERNELS
    wanted = ULTRAFACE_KERNELS;
#elif !defined(ULTRAFACE_NO_ENVIRONMENT)
    wanted = getenv("ULTRAFACE_KERNELS");
#endif
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++) {
        const int named = !wanted || !*wanted || !strcmp(wanted, choices[i].set->name);
        if (named && choices[i].usable())
            return choices[i].set;
    }
    return 0;
}
