/* A QEMU plugin that counts the A64 instructions executed between two marker system calls.
 *
 *   qemu-aarch64 -plugin counter.so,out=FILE ...
 *
 * getpgid(MARK) starts counting, getpgid(MARK + 1) ends it and appends one line to FILE: all
 * instructions, then each class. Counts repeat exactly for one guest thread.
 *
 * Debian's qemu-user carries no qemu-plugin.h: the part of the plugin interface (version 1, QEMU
 * 4.2 to 8.x; QEMU docs/devel/tcg-plugins.rst) that is used here is declared below. Encodings:
 * Arm Architecture Reference Manual for A-profile, DDI 0487, section C4.1.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t qemu_plugin_id_t;
typedef struct qemu_info_t qemu_info_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };

typedef void (*tb_callback)(qemu_plugin_id_t, struct qemu_plugin_tb *);
typedef void (*syscall_callback)(qemu_plugin_id_t, unsigned vcpu, int64_t number, uint64_t a1,
                                 uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5, uint64_t a6,
                                 uint64_t a7, uint64_t a8);

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, tb_callback);
void qemu_plugin_register_vcpu_syscall_cb(qemu_plugin_id_t, syscall_callback);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, enum qemu_plugin_op,
                                              void *counter, uint64_t immediate);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t index);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);

EXPORT int qemu_plugin_version = 1;

enum { SYS_GETPGID = 155, MARK = 0x55460000 };
enum { ALL, FMA, DOT, MULTIPLY, LOAD_STORE, CLASSES };

static uint64_t counts[CLASSES], at_start[CLASSES];
static char output[4096];

typedef struct { uint32_t mask, value; } Pattern;

static bool any(uint32_t insn, const Pattern *patterns, size_t number)
{
    for (size_t i = 0; i < number; i++)
        if ((insn & patterns[i].mask) == patterns[i].value)
            return true;
    return false;
}
#define ANY(insn, patterns) any(insn, patterns, sizeof(patterns) / sizeof(*(patterns)))

static const Pattern load_store[] = {{0x0a000000, 0x08000000}};

static const Pattern fma[] = {
    {0xbf20fc00, 0x0e20cc00}, /* FMLA, FMLS: vector */
    {0xbf60fc00, 0x0e400c00}, /* FMLA, FMLS: vector of halves */
    {0xbf00b400, 0x0f001000}, /* FMLA, FMLS: by element */
    {0xff000000, 0x1f000000}, /* FMADD and its relatives: scalar */
};

static const Pattern dot[] = {
    {0x9fe0fc00, 0x0e809400}, /* SDOT, UDOT: vector */
    {0x9fc0f400, 0x0f80e000}, /* SDOT, UDOT: by element */
};

static const Pattern multiply[] = {
    {0x9f20fc00, 0x0e209400}, /* MLA, MLS: vector */
    {0xbf20fc00, 0x0e209c00}, /* MUL: vector */
    {0x9f20fc00, 0x0e20b400}, /* SQDMULH, SQRDMULH: vector */
    {0x9f20dc00, 0x0e208000}, /* SMLAL, SMLSL and unsigned */
    {0x9f20fc00, 0x0e20c000}, /* SMULL, UMULL */
    {0x9f20bc00, 0x0e209000}, /* SQDMLAL, SQDMULL */
    {0xbf00b400, 0x2f000000}, /* MLA, MLS: by element */
    {0xbf00f400, 0x0f008000}, /* MUL: by element */
    {0x9f00b400, 0x0f002000}, /* SMLAL, SMLSL and unsigned: by element */
    {0x9f00f400, 0x0f00a000}, /* SMULL, UMULL: by element */
    {0xbf00e400, 0x0f00c000}, /* SQDMULH, SQRDMULH: by element */
};

static int class_of(uint32_t insn)
{
    if (ANY(insn, load_store))
        return LOAD_STORE;
    if (ANY(insn, fma))
        return FMA;
    if (ANY(insn, dot))
        return DOT;
    if (ANY(insn, multiply))
        return MULTIPLY;
    return ALL;
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    (void)id;
    size_t length = qemu_plugin_tb_n_insns(tb);
    uint64_t of_class[CLASSES] = {0};
    for (size_t i = 0; i < length; i++) {
        uint32_t insn;
        memcpy(&insn, qemu_plugin_insn_data(qemu_plugin_tb_get_insn(tb, i)), sizeof insn);
        of_class[class_of(insn)]++;
    }
    of_class[ALL] = length;
    for (int c = 0; c < CLASSES; c++)
        if (of_class[c])
            qemu_plugin_register_vcpu_tb_exec_inline(tb, QEMU_PLUGIN_INLINE_ADD_U64, &counts[c],
                                                     of_class[c]);
}

static void write_counts(void)
{
    FILE *file = fopen(output, "a");
    if (!file)
        return;
    for (int c = 0; c < CLASSES; c++)
        fprintf(file, "%" PRIu64 "%c", counts[c] - at_start[c], c + 1 < CLASSES ? ' ' : '\n');
    fclose(file);
}

static void called(qemu_plugin_id_t id, unsigned vcpu, int64_t number, uint64_t a1, uint64_t a2,
                   uint64_t a3, uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8)
{
    (void)id, (void)vcpu, (void)a2, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
    if (number != SYS_GETPGID)
        return;
    if (a1 == MARK)
        memcpy(at_start, counts, sizeof counts);
    else if (a1 == MARK + 1)
        write_counts();
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
    (void)info;
    for (int i = 0; i < argc; i++)
        if (!strncmp(argv[i], "out=", 4))
            snprintf(output, sizeof output, "%s", argv[i] + 4);
    if (!*output)
        return 1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_vcpu_syscall_cb(id, called);
    return 0;
}
