/* flood LINES BYTES: on SIGUSR1 writes LINES lines of 100 bytes to stdout in writes of BYTES each,
 * then idles. Into the FIFO named by BENCH_FIFO it notes 8 bytes (CLOCK_MONOTONIC in ns) when it is
 * ready, when it begins and when its last write has returned. */
#define _GNU_SOURCE
#include "line.h"
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static void note(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    uint64_t ns = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
    int fifo = open(getenv("BENCH_FIFO"), O_WRONLY | O_CLOEXEC);
    if (fifo < 0 || write(fifo, &ns, sizeof ns) != sizeof ns)
        _exit(70);
    close(fifo);
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 64;
    uint64_t left = strtoull(argv[1], 0, 10) * LINE;
    size_t block = strtoul(argv[2], 0, 10);
    /* Serial numbers are written into the buffer line by line; what a block cuts off a line comes
     * first in the next one, as in any program that writes full stdio buffers. */
    char *buffer = malloc(block + LINE);
    if (!buffer)
        return 70;
    char line[LINE];
    line_first(line);
    size_t filled = 0;

    sigset_t go;
    sigemptyset(&go);
    sigaddset(&go, SIGUSR1);
    sigprocmask(SIG_BLOCK, &go, 0);
    note();
    int signal;
    sigwait(&go, &signal);
    note();
    while (left) {
        while (filled < block) {
            memcpy(buffer + filled, line, LINE);
            line_next(line);
            filled += LINE;
        }
        size_t want = left < block ? left : block;
        for (size_t done = 0; done < want;) {
            ssize_t wrote = write(1, buffer + done, want - done);
            if (wrote < 0)
                return 74;
            done += (size_t)wrote;
        }
        memmove(buffer, buffer + want, filled - want);
        filled -= want;
        left -= want;
    }
    note();
    for (;;)
        pause();
}
