/* Lets the n-th change of a folder fail, or kills the process there. For LD_PRELOAD; see harness.py.

   A step is a call that changes what is on disk below the folder given to faults_arm: open for writing, write,
   truncate, fsync, rename, unlink, mkdir, rmdir. HDF5, Python and their libraries all come through here. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { COUNT, FAIL_ONCE, FAIL_FROM, KILL };

static char folder[PATH_MAX];
static size_t folder_length;
static long steps, at;
static int action, error;
static int log_fd = -1;

void faults_arm(const char *below, long step, int what, int with_errno, int log)
{
    strncpy(folder, below, PATH_MAX - 1);
    folder_length = strlen(folder);
    steps = 0, at = step, action = what, error = with_errno, log_fd = log;
}

long faults_steps(void) { return steps; }

/* Say whether this step is to fail; errno is set then. */
static int step(const char *name, const char *path)
{
    if (!folder_length || strncmp(path, folder, folder_length))
        return 0;
    steps++;
    if (log_fd >= 0) {
        char line[PATH_MAX + 64];
        int n = snprintf(line, sizeof line, "%ld %s %s\n", steps, name, path);
        syscall(SYS_write, log_fd, line, n);
    }
    if (action == KILL && steps == at)
        syscall(SYS_kill, getpid(), SIGKILL);
    /* a disk that is full still removes files */
    int frees = !strcmp(name, "unlink") || !strcmp(name, "rmdir");
    if ((action == FAIL_ONCE && steps == at) || (action == FAIL_FROM && steps >= at && !frees)) {
        errno = error;
        return 1;
    }
    return 0;
}

static int step_at(const char *name, int base, const char *path)
{
    char whole[PATH_MAX];
    if (!folder_length || path[0] == '/')
        return step(name, path);
    char link[64];
    snprintf(link, sizeof link, base == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", base);
    ssize_t n = readlink(link, whole, PATH_MAX - 1);
    if (n < 0)
        return 0;
    snprintf(whole + n, PATH_MAX - n, "/%s", path);
    return step(name, whole);
}

static int step_fd(const char *name, int fd)
{
    if (!folder_length)
        return 0;
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, PATH_MAX - 1);
    if (n < 0)
        return 0;
    path[n] = 0;
    return step(name, path);
}

#define REAL(result, name, ...) \
    static result (*real)(__VA_ARGS__); \
    if (!real) real = (result (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

#define FD_CALL(result, name, parameters, arguments) \
    result name parameters { \
        REAL(result, #name, ) ; \
        return step_fd(#name, fd) ? -1 : ((result (*) parameters)(void *)real) arguments; \
    }

FD_CALL(ssize_t, write, (int fd, const void *data, size_t n), (fd, data, n))
FD_CALL(ssize_t, pwrite, (int fd, const void *data, size_t n, off_t where), (fd, data, n, where))
FD_CALL(ssize_t, pwrite64, (int fd, const void *data, size_t n, off64_t where), (fd, data, n, where))
FD_CALL(ssize_t, writev, (int fd, const struct iovec *data, int n), (fd, data, n))
FD_CALL(int, ftruncate, (int fd, off_t size), (fd, size))
FD_CALL(int, ftruncate64, (int fd, off64_t size), (fd, size))
FD_CALL(int, fsync, (int fd), (fd))
FD_CALL(int, fdatasync, (int fd), (fd))

#define PATH_CALL(name) \
    int name(const char *path) { \
        REAL(int, #name, const char *); \
        return step_at(#name, AT_FDCWD, path) ? -1 : real(path); \
    }

PATH_CALL(unlink)
PATH_CALL(rmdir)

int mkdir(const char *path, mode_t mode)
{
    REAL(int, "mkdir", const char *, mode_t);
    return step_at("mkdir", AT_FDCWD, path) ? -1 : real(path, mode);
}

int rename(const char *from, const char *to)
{
    REAL(int, "rename", const char *, const char *);
    return step_at("rename", AT_FDCWD, from) ? -1 : real(from, to);
}

#define OPEN_CALL(name) \
    int name(const char *path, int flags, ...) { \
        REAL(int, #name, const char *, int, ...); \
        va_list rest; \
        va_start(rest, flags); \
        int mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, int) : 0; \
        va_end(rest); \
        if ((flags & O_ACCMODE) != O_RDONLY && step_at("open", AT_FDCWD, path)) return -1; \
        return real(path, flags, mode); \
    }

OPEN_CALL(open)
OPEN_CALL(open64)
