/* leak MIB: notes its start as worker.c does, then takes MIB more of memory each second, in steps of
 * 20 ms, until a signal ends it. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    if (argc != 2)
        return 64;
    struct timespec next;
    clock_gettime(CLOCK_MONOTONIC, &next);
    uint64_t ns = (uint64_t)next.tv_sec * 1000000000u + (uint64_t)next.tv_nsec;
    int fifo = open(getenv("BENCH_FIFO"), O_WRONLY | O_CLOEXEC);
    if (fifo < 0 || write(fifo, &ns, sizeof ns) != sizeof ns)
        return 70;
    close(fifo);
    size_t step = (size_t)atoi(argv[1]) * 1024 * 1024 / 50;
    for (;;) {
        void *more = mmap(0, step, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (more == MAP_FAILED)
            return 71;
        memset(more, 1, step);
        next.tv_nsec += 20000000;
        if (next.tv_nsec >= 1000000000) {
            next.tv_nsec -= 1000000000;
            next.tv_sec++;
        }
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, 0);
    }
}
