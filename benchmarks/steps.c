/* Counts how often a part of this process executes each instruction.
 *
 *   start(); ...; stop("FILE");
 *
 * x86-64 Linux, instructions of the thread that called start(). A run of instructions up to a
 * branch is stepped through once, by the trap flag; then a breakpoint takes the branch's place and
 * the handler does what the branch would do, so that a run that is known costs one signal. The trap
 * flag alone would cost a signal an instruction, and a processor's manager in a virtual machine is
 * slow at those. stop() writes a line for each address: the address, how often it was executed, and
 * the sixteen bytes there, in hexadecimal where they are no counts. "rep" counts as one.
 *
 * The handler calls nothing outside this file: what it called could hold breakpoints. Encodings:
 * Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>

enum { PLACES = 1 << 18, RUN = 1 << 16, TRAP_FLAG = 0x100, BYTES = 16, LONGEST = 15, PAGE = 4096 };
enum { BREAKPOINT = 0xCC };
enum { CARRY = 1, PARITY = 4, ZERO = 0x40, SIGN = 0x80, OVERFLOW = 0x800 };

typedef struct {
    uint64_t address;
    uint64_t entered;  /* as the first of a run */
    uint64_t counted;
    uint8_t length;    /* 0: a branch, or not known */
    uint8_t original;  /* what the breakpoint took the place of */
    bool broken;       /* a breakpoint stands here */
    bool known;        /* from here on everything up to a breakpoint was stepped through */
} Place;

static Place places[PLACES];
static Place *run[RUN]; /* what is being stepped through */
static int run_length;
static Place *first;    /* where the present run began */
static volatile sig_atomic_t counting;
static uint64_t owner;
static char alternate[1 << 16];

static inline uint64_t this_thread(void)
{
    uint64_t self;
    __asm__("mov %%fs:0, %0" : "=r"(self));
    return self;
}

static Place *place_of(uint64_t address)
{
    uint32_t place = (uint32_t)(address * 0x9E3779B97F4A7C15u >> 46);
    while (places[place].address && places[place].address != address)
        place = (place + 1) & (PLACES - 1);
    places[place].address = address;
    return &places[place];
}

/* ---- branches ---- */

typedef struct {
    const uint8_t *code; /* the opcode's last byte */
    uint8_t opcode, rex;
    bool two_bytes, fs;
} Opcode;

static bool prefixes(Opcode *op, uint8_t byte)
{
    op->fs |= byte == 0x64;
    if ((byte & 0xF0) == 0x40)
        op->rex = byte;
    return (byte & 0xF0) == 0x40 || (byte >= 0x64 && byte <= 0x66) || byte == 0x2E || byte == 0x3E ||
           byte == 0xF2 || byte == 0xF3;
}

static Opcode opcode_of(const Place *place)
{
    Opcode found = {.code = (const uint8_t *)place->address};
    uint8_t byte = place->broken ? place->original : *found.code;
    while (prefixes(&found, byte))
        byte = *++found.code;
    found.two_bytes = byte == 0x0F;
    found.opcode = found.two_bytes ? *++found.code : byte;
    return found;
}

static bool branches(Opcode op)
{
    if (op.two_bytes)
        return (op.opcode & 0xF0) == 0x80;
    if (op.opcode == 0xFF) {
        int extension = op.code[1] >> 3 & 7;
        return extension == 2 || extension == 4;
    }
    return (op.opcode & 0xF0) == 0x70 || (op.opcode >= 0xE0 && op.opcode <= 0xE3) ||
           op.opcode == 0xE8 || op.opcode == 0xE9 || op.opcode == 0xEB || op.opcode == 0xC2 ||
           op.opcode == 0xC3;
}

static bool holds(int condition, greg_t flags)
{
    bool sign = !!(flags & SIGN) != !!(flags & OVERFLOW), yes = false;
    switch (condition >> 1) {
    case 0: yes = flags & OVERFLOW; break;
    case 1: yes = flags & CARRY; break;
    case 2: yes = flags & ZERO; break;
    case 3: yes = flags & (CARRY | ZERO); break;
    case 4: yes = flags & SIGN; break;
    case 5: yes = flags & PARITY; break;
    case 6: yes = sign; break;
    case 7: yes = sign || flags & ZERO; break;
    }
    return yes != (condition & 1);
}

static int32_t word(const uint8_t *at)
{
    return (int32_t)(at[0] | at[1] << 8 | at[2] << 16 | (uint32_t)at[3] << 24);
}

static uint64_t register_of(const greg_t *registers, int number)
{
    static const uint8_t order[] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                    REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                    REG_R12, REG_R13, REG_R14, REG_R15};
    return (uint64_t)registers[order[number]];
}

/* The value that an operand of a register or of memory has; `next` becomes what follows it. */
static uint64_t operand(Opcode op, const greg_t *registers, const uint8_t **next)
{
    const uint8_t *at = op.code + 1;
    int mode = *at >> 6, base = *at & 7;
    at++;
    if (mode == 3) {
        *next = at;
        return register_of(registers, base | (op.rex & 1) << 3);
    }
    uint64_t address = 0;
    bool displaced = mode == 0 && base == 5, relative = displaced;
    if (base == 4) {
        int scaled = *at, index = (scaled >> 3 & 7) | (op.rex & 2) << 2;
        base = scaled & 7;
        displaced = mode == 0 && base == 5;
        if (index != 4)
            address += register_of(registers, index) << (scaled >> 6);
        at++;
    }
    if (!displaced)
        address += register_of(registers, base | (op.rex & 1) << 3);
    if (displaced || mode == 2) {
        address += (uint64_t)(int64_t)word(at);
        at += 4;
    } else if (mode == 1) {
        address += (uint64_t)(int64_t)(int8_t)*at++;
    }
    if (relative)
        address += (uint64_t)at;
    if (op.fs)
        address += this_thread();
    *next = at;
    return *(const uint64_t *)address;
}

static void push(greg_t *registers, const uint8_t *value)
{
    registers[REG_RSP] -= 8;
    *(uint64_t *)registers[REG_RSP] = (uint64_t)value;
}

/* Does what the branch does; the instruction pointer ends where it leads. */
static void branch(Opcode op, greg_t *registers)
{
    greg_t flags = registers[REG_EFL];
    const uint8_t *next = op.code + 1;
    uint64_t target;
    if (op.two_bytes || op.opcode == 0xE8 || op.opcode == 0xE9) {
        next += 4;
        target = (uint64_t)next + (uint64_t)(int64_t)word(op.code + 1);
        if (op.two_bytes && !holds(op.opcode & 15, flags))
            target = (uint64_t)next;
        else if (op.opcode == 0xE8 && !op.two_bytes)
            push(registers, next);
    } else if (op.opcode == 0xFF) {
        target = operand(op, registers, &next);
        if ((op.code[1] >> 3 & 7) == 2)
            push(registers, next);
    } else if (op.opcode == 0xC2 || op.opcode == 0xC3) {
        target = *(const uint64_t *)registers[REG_RSP];
        registers[REG_RSP] += 8 + (op.opcode == 0xC2 ? op.code[1] | op.code[2] << 8 : 0);
    } else {
        bool taken = op.opcode == 0xEB;
        if ((op.opcode & 0xF0) == 0x70)
            taken = holds(op.opcode & 15, flags);
        else if (op.opcode == 0xE3)
            taken = registers[REG_RCX] == 0;
        else if (op.opcode != 0xEB)
            taken = --registers[REG_RCX] != 0 &&
                    (op.opcode == 0xE2 || !!(flags & ZERO) == (op.opcode == 0xE1));
        next++;
        target = (uint64_t)next + (taken ? (uint64_t)(int64_t)(int8_t)op.code[1] : 0);
    }
    registers[REG_RIP] = (greg_t)target;
}

/* ---- runs ---- */

static bool writable(uint64_t address)
{
    long result, number = SYS_mprotect;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(address & -(uint64_t)PAGE), "S"((uint64_t)PAGE),
                       "d"((long)(PROT_READ | PROT_WRITE | PROT_EXEC))
                     : "rcx", "r11", "memory");
    return result == 0;
}

static void begin(uint64_t address)
{
    first = place_of(address);
    run_length = 0;
}

/* Instructions that were not followed one after the other are counted one by one. */
static void give_up(uint64_t address)
{
    for (int i = 0; i < run_length; i++)
        run[i]->counted++;
    begin(address);
}

static void end_of_run(Place *end)
{
    if (!end->broken && writable(end->address)) {
        end->original = *(const uint8_t *)end->address;
        end->broken = true;
        *(volatile uint8_t *)end->address = BREAKPOINT;
    }
    if (!end->broken) {
        give_up(end->address);
        end->counted++;
        return;
    }
    end->known = true;
    for (int i = 0; i < run_length; i++)
        run[i]->known = true;
    first->entered++;
}

/* The instruction at the pointer is next; it is stepped over, or what is known is let run. */
static void follow(greg_t *registers)
{
    for (;;) {
        uint64_t address = (uint64_t)registers[REG_RIP];
        Place *place = place_of(address);
        if (run_length == 0 && place->known && !place->broken) {
            registers[REG_EFL] &= ~(greg_t)TRAP_FLAG;
            return;
        }
        Opcode op = opcode_of(place);
        if (!branches(op)) {
            if (run_length == RUN)
                give_up(address);
            run[run_length++] = place;
            registers[REG_EFL] |= TRAP_FLAG;
            return;
        }
        end_of_run(place);
        branch(op, registers);
        begin((uint64_t)registers[REG_RIP]);
    }
}

static void trapped(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    if (info->si_code == SI_KERNEL) { /* a breakpoint */
        uint64_t address = (uint64_t)--registers[REG_RIP];
        if (counting && this_thread() == owner) {
            if (run_length) /* stepping was ended behind our back */
                give_up(address);
            follow(registers);
        } else {
            branch(opcode_of(place_of(address)), registers);
        }
        return;
    }
    if (!counting) {
        registers[REG_EFL] &= ~(greg_t)TRAP_FLAG;
        return;
    }
    uint64_t address = (uint64_t)registers[REG_RIP];
    if (!first)
        begin(address);
    if (run_length) {
        Place *last = run[run_length - 1];
        uint64_t length = address - last->address;
        if (length == 0)
            return; /* another turn of "rep" */
        if (length <= LONGEST)
            last->length = (uint8_t)length;
        else
            give_up(address);
    }
    follow(registers);
}

void start(void)
{
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = trapped;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaltstack(&stack, NULL);
    sigaction(SIGTRAP, &action, NULL);
    owner = this_thread();
    counting = 1;
    __asm__ volatile("pushfq; orq %0, (%%rsp); popfq" : : "i"(TRAP_FLAG) : "memory", "cc");
}

int stop(const char *path)
{
    counting = 0;
    __asm__ volatile("nop; nop");
    for (int i = 0; i < PLACES; i++)
        if (places[i].broken)
            *(volatile uint8_t *)places[i].address = places[i].original;
    for (int i = 0; i < PLACES; i++) {
        Place *place = &places[i];
        if (!places[i].entered)
            continue;
        while (!place->broken && place->length) {
            place->counted += places[i].entered;
            place = place_of(place->address + place->length);
        }
        place->counted += places[i].entered;
    }
    FILE *file = fopen(path, "w");
    if (!file)
        return -1;
    for (int i = 0; i < PLACES; i++) {
        if (!places[i].counted)
            continue;
        fprintf(file, "%" PRIx64 " %" PRIu64 " ", places[i].address, places[i].counted);
        for (int j = 0; j < BYTES; j++)
            fprintf(file, "%02x", ((const uint8_t *)places[i].address)[j]);
        fputc('\n', file);
    }
    return fclose(file);
}
