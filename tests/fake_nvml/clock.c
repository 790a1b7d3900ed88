/* A wall clock that jumps, for processes that preload this: the file $FAKE_CLOCK holds its offset in seconds
 * (a double). Monotonic clocks are not changed, as when an operator sets the time. The file $FAKE_BOOT_ID,
 * where there is one, is the boot id of the machine. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <math.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static double off_s(void) {
    static const double *shared;
    if (!shared) {
        const char *path = getenv("FAKE_CLOCK");
        int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
        if (fd < 0) return 0;
        void *map = mmap(NULL, sizeof(double), PROT_READ, MAP_SHARED, fd, 0);
        close(fd);
        if (map == MAP_FAILED) return 0;
        shared = map;
    }
    return *shared;
}

int clock_gettime(clockid_t id, struct timespec *to) {
    int code = (int)syscall(SYS_clock_gettime, id, to);
    if (code == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) to->tv_sec += (time_t)off_s();
    return code;
}

int gettimeofday(struct timeval *restrict to, void *restrict zone) {
    (void)zone;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    to->tv_sec = now.tv_sec, to->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *to) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (to) *to = now.tv_sec;
    return now.tv_sec;
}

static const char *redirected(const char *path) {
    const char *boot = getenv("FAKE_BOOT_ID");
    int here = boot && !strcmp(path, "/proc/sys/kernel/random/boot_id") && access(boot, R_OK) == 0;
    return here ? boot : path;
}

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = va_arg(rest, mode_t);
    va_end(rest);
    return (int)syscall(SYS_openat, AT_FDCWD, redirected(path), flags, mode);
}

int open(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = va_arg(rest, mode_t);
    va_end(rest);
    return (int)syscall(SYS_openat, AT_FDCWD, redirected(path), flags, mode);
}
