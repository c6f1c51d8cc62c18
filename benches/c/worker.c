/* A worker that notes when it got its first instruction, then idles until a signal ends it.
 * The note (CLOCK_MONOTONIC in ns, 8 bytes) goes into the FIFO named by BENCH_FIFO. */
#include "start.h"

void begin(char **stack);
void begin(char **stack)
{
    struct timespec now;
    sys4(SYS_clock_gettime, CLOCK_MONOTONIC, (long)&now, 0, 0);
    uint64_t note = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;

    char **environment = stack + 1 + *(long *)stack + 1;
    static const char key[] = "BENCH_FIFO=";
    for (; *environment; environment++) {
        unsigned i = 0;
        while (i < sizeof key - 1 && (*environment)[i] == key[i])
            i++;
        if (i == sizeof key - 1) {
            long fifo = sys4(SYS_openat, AT_FDCWD, (long)(*environment + i), 1 /* O_WRONLY */, 0);
            sys4(SYS_write, fifo, (long)&note, sizeof note, 0);
            sys4(SYS_close, fifo, 0, 0, 0);
        }
    }
    for (;;)
        sys4(SYS_ppoll, 0, 0, 0, 0);
}
