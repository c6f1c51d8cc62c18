/* orphans COUNT: makes COUNT orphans (grandchildren whose parent has ended), lets them all end at
 * once, notes that instant (8 bytes, CLOCK_MONOTONIC in ns) in the FIFO named by BENCH_FIFO, and idles. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    if (argc != 2)
        return 64;
    int gate[2];
    if (pipe(gate) < 0)
        return 71;
    for (int left = atoi(argv[1]); left > 0; left--) {
        pid_t child = fork();
        if (child < 0)
            return 71;
        if (child == 0) {
            pid_t orphan = fork();
            if (orphan != 0)
                _exit(orphan < 0);
            close(gate[1]);
            char byte;
            (void)!read(gate[0], &byte, 1);
            _exit(0);
        }
        int status;
        if (waitpid(child, &status, 0) < 0 || status != 0)
            return 71;
    }
    close(gate[1]);
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    uint64_t ns = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
    int fifo = open(getenv("BENCH_FIFO"), O_WRONLY | O_CLOEXEC);
    if (fifo < 0 || write(fifo, &ns, sizeof ns) != sizeof ns)
        return 70;
    close(fifo);
    for (;;)
        pause();
}
