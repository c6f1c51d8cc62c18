/* container STATUS_FD USR COMMAND...: runs COMMAND as PID 1 of its own PID namespace with its own /proc
 * and, unless USR is "-", with the directory USR laid over /usr (for a peer that has its paths built in).
 * It tells on STATUS_FD, one line each, in ns of CLOCK_MONOTONIC:
 *   exec PID NS       the instant before execve, and the PID as seen from outside
 *   gone NS STATUS    everything in the namespace has ended; PID 1's wait status
 *   fail ERRNO        COMMAND could not be executed
 * It dies with its parent, and the namespace dies with it, so nothing is left behind. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void must(int result, const char *what)
{
    if (result < 0) {
        perror(what);
        _exit(125);
    }
}

struct shared {
    uint64_t before_exec;
    int error;
};

int main(int argc, char **argv)
{
    if (argc < 4)
        return 64;
    int status_fd = atoi(argv[1]);
    fcntl(status_fd, F_SETFD, FD_CLOEXEC);
    must(prctl(PR_SET_PDEATHSIG, SIGKILL), "prctl");
    if (getppid() == 1)
        return 125;
    struct shared *shared = mmap(0, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int gate[2]; /* closed by a successful exec */
    must(pipe2(gate, O_CLOEXEC), "pipe");
    must(unshare(CLONE_NEWPID | CLONE_NEWNS), "unshare (root is needed)");
    must(mount("none", "/", 0, MS_REC | MS_PRIVATE, 0), "mount private");
    if (strcmp(argv[2], "-") != 0) {
        char options[4096];
        if (snprintf(options, sizeof options, "lowerdir=%s:/usr", argv[2]) >= (int)sizeof options)
            return 64;
        must(mount("overlay", "/usr", "overlay", MS_RDONLY, options), "mount overlay on /usr");
    }

    pid_t child = fork();
    must(child, "fork");
    if (child == 0) {
        must(prctl(PR_SET_PDEATHSIG, SIGKILL), "prctl");
        must(mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, 0), "mount /proc");
        shared->before_exec = now();
        execv(argv[3], argv + 3);
        shared->error = errno;
        _exit(127);
    }
    close(gate[1]);
    char byte;
    (void)!read(gate[0], &byte, 1);
    if (shared->error)
        dprintf(status_fd, "fail %d\n", shared->error);
    else
        dprintf(status_fd, "exec %d %llu\n", child, (unsigned long long)shared->before_exec);
    int status;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    uint64_t gone = now();
    dprintf(status_fd, "gone %llu %d\n", (unsigned long long)gone, status);
    return 0;
}
