/* count FILE: reads flood's lines from stdin, whatever prefix they have by now, and keeps in FILE
 * (mapped, so that it can be looked at meanwhile) seven 8-byte numbers:
 *   whole     lines that came whole and in order of their serial numbers
 *   torn      pieces of lines, lines out of order, lines with another prefix than the first one's
 *   foreign   lines of another program (a supervisor's banner)
 *   bytes     all bytes read
 *   first     when the first of flood's lines was read, CLOCK_MONOTONIC in ns
 *   last      when the last bytes were read
 *   end       1 at end of file */
#define _GNU_SOURCE
#include "line.h"
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

struct tally {
    volatile uint64_t whole, torn, foreign, bytes, first, last, end;
};

static char expected[LINE], prefix[256];
static size_t prefix_length;
static int prefix_known;

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Whether these 100 bytes are one of flood's lines, whatever its serial number. */
static int is_line(const char *bytes)
{
    for (int i = 1; i <= DIGITS; i++)
        if (bytes[i] < '0' || bytes[i] > '9')
            return 0;
    return bytes[0] == 'L' && memcmp(bytes + 1 + DIGITS, expected + 1 + DIGITS, LINE - 1 - DIGITS) == 0;
}

static void odd(struct tally *tally, const char *start, size_t length)
{
    if (length >= LINE && is_line(start + length - LINE)) {
        const char *line = start + length - LINE;
        if (memcmp(line, expected, LINE) > 0) { /* some before it are lost: they are missing in `whole` */
            memcpy(expected, line, LINE);
            line_next(expected);
            tally->whole++;
        } else {
            tally->torn++;
        }
    } else if (memmem(start, length, "##", 2)) {
        tally->torn++;
    } else {
        tally->foreign++;
    }
}

static void one(struct tally *tally, const char *start, size_t length)
{
    if (length < LINE || memcmp(start + length - LINE, expected, LINE) != 0) {
        odd(tally, start, length);
        return;
    }
    size_t before = length - LINE;
    if (!prefix_known && before <= sizeof prefix) {
        prefix_known = 1;
        prefix_length = before;
        memcpy(prefix, start, before);
        tally->first = now();
    }
    line_next(expected);
    if (before == prefix_length && memcmp(start, prefix, before) == 0)
        tally->whole++;
    else
        tally->torn++;
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 64;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int file = open(argv[1], O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (file < 0 || ftruncate(file, sizeof(struct tally)) < 0)
        return 73;
    struct tally *tally = mmap(0, sizeof *tally, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    size_t size = 1 << 20, filled = 0;
    char *buffer = malloc(size);
    if (tally == MAP_FAILED || !buffer)
        return 71;
    line_first(expected);
    for (;;) {
        ssize_t got = read(0, buffer + filled, size - filled);
        if (got <= 0)
            break;
        tally->bytes += (uint64_t)got;
        filled += (size_t)got;
        char *start = buffer, *end = buffer + filled, *newline;
        while ((newline = memchr(start, '\n', (size_t)(end - start)))) {
            one(tally, start, (size_t)(newline + 1 - start));
            start = newline + 1;
        }
        filled = (size_t)(end - start);
        memmove(buffer, start, filled);
        if (filled == size) { /* a line of 1 MiB is nobody's */
            tally->torn++;
            filled = 0;
        }
        tally->last = now();
    }
    tally->end = 1;
    return 0;
}
