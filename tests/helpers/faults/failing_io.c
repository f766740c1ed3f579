/* Lets the n-th change of a folder fail, or kills the process there. For LD_PRELOAD; see harness.py.

   A step is a call that changes what is on disk below the folder given to faults_arm: open for writing, write, sendfile,
   truncate, fsync, rename, unlink, mkdir, rmdir. HDF5, Python and their libraries all come through here. RECORD lets
   none fail, and logs what each did, with its data; see power_loss.py. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { COUNT, FAIL_ONCE, FAIL_FROM, KILL, RECORD };

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
    if (log_fd >= 0 && action != RECORD) {
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

/* Log what a call did: a line of its name, offset, size and the lengths of what follows: two paths, and data. */
static void record(const char *name, const char *path, const char *other, long offset, long size, const void *data)
{
    if (action != RECORD || log_fd < 0 || !folder_length || strncmp(path, folder, folder_length))
        return;
    char line[128];
    size_t n_data = data ? size : 0;
    int n = snprintf(line, sizeof line, "%s %ld %ld %zu %zu %zu\n", name, offset, size, strlen(path), strlen(other), n_data);
    syscall(SYS_write, log_fd, line, n);
    syscall(SYS_write, log_fd, path, strlen(path));
    syscall(SYS_write, log_fd, other, strlen(other));
    for (size_t done = 0; done < n_data;) {
        long m = syscall(SYS_write, log_fd, (const char *)data + done, n_data - done);
        if (m <= 0)
            return;
        done += m;
    }
}

static int path_of(int fd, char *path)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, PATH_MAX - 1);
    if (n < 0)
        return 0;
    path[n] = 0;
    return 1;
}

static void record_fd(const char *name, int fd, long offset, long size, const void *data)
{
    char path[PATH_MAX];
    if (action == RECORD && folder_length && path_of(fd, path))
        record(name, path, "", offset, size, data);
}

/* Return where a write without a place of its own begins. */
static long position(int fd)
{
    if (action != RECORD)
        return 0;
    return fcntl(fd, F_GETFL) & O_APPEND ? lseek(fd, 0, SEEK_END) : lseek(fd, 0, SEEK_CUR);
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
    char path[PATH_MAX];
    return path_of(fd, path) ? step(name, path) : 0;
}

#define REAL(result, name, ...) \
    static result (*real)(__VA_ARGS__); \
    if (!real) real = (result (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

/* `what` is recorded: where, how many bytes (of those asked for, as many as were written), and which. */
#define FD_CALL(result, name, parameters, arguments, where, size, data) \
    result name parameters { \
        REAL(result, #name, ) ; \
        if (step_fd(#name, fd)) return -1; \
        long offset = where; \
        result done = ((result (*) parameters)(void *)real) arguments; \
        if (done >= 0) record_fd(#name, fd, offset, size, data); \
        return done; \
    }

FD_CALL(ssize_t, write, (int fd, const void *data, size_t n), (fd, data, n), position(fd), done, data)
FD_CALL(ssize_t, pwrite, (int fd, const void *data, size_t n, off_t where), (fd, data, n, where), where, done, data)
FD_CALL(ssize_t, pwrite64, (int fd, const void *data, size_t n, off64_t where), (fd, data, n, where), where, done, data)
FD_CALL(ssize_t, writev, (int fd, const struct iovec *data, int n), (fd, data, n), position(fd), done, NULL)
FD_CALL(int, ftruncate, (int fd, off_t size), (fd, size), 0, size, NULL)
FD_CALL(int, ftruncate64, (int fd, off64_t size), (fd, size), 0, size, NULL)
FD_CALL(int, fsync, (int fd), (fd), 0, 0, NULL)
FD_CALL(int, fdatasync, (int fd), (fd), 0, 0, NULL)

/* Copies of files go past write(): what was copied is read once more where it came from. */
static ssize_t sent(const char *name, ssize_t (*real)(int, int, off_t *, size_t), int to, int from, off_t *where, size_t n)
{
    if (step_fd(name, to))
        return -1;
    long offset = position(to), begin = where ? *where : lseek(from, 0, SEEK_CUR);
    ssize_t done = real(to, from, where, n);
    if (done > 0 && action == RECORD && folder_length) {
        char *data = malloc(done);
        if (data && pread(from, data, done, begin) == done)
            record_fd("write", to, offset, done, data);
        free(data);
    }
    return done;
}

#define SENDFILE(name) \
    ssize_t name(int to, int from, off_t *where, size_t n) { \
        REAL(ssize_t, #name, int, int, off_t *, size_t); \
        return sent(#name, real, to, from, where, n); \
    }

SENDFILE(sendfile)
SENDFILE(sendfile64)

#define PATH_CALL(name) \
    int name(const char *path) { \
        REAL(int, #name, const char *); \
        if (step_at(#name, AT_FDCWD, path)) return -1; \
        int done = real(path); \
        if (!done) record(#name, path, "", 0, 0, NULL); \
        return done; \
    }

PATH_CALL(unlink)
PATH_CALL(rmdir)

int mkdir(const char *path, mode_t mode)
{
    REAL(int, "mkdir", const char *, mode_t);
    if (step_at("mkdir", AT_FDCWD, path))
        return -1;
    int done = real(path, mode);
    if (!done)
        record("mkdir", path, "", 0, 0, NULL);
    return done;
}

int rename(const char *from, const char *to)
{
    REAL(int, "rename", const char *, const char *);
    if (step_at("rename", AT_FDCWD, from))
        return -1;
    int done = real(from, to);
    if (!done)
        record("rename", from, to, 0, 0, NULL);
    return done;
}

#define OPEN_CALL(name) \
    int name(const char *path, int flags, ...) { \
        REAL(int, #name, const char *, int, ...); \
        va_list rest; \
        va_start(rest, flags); \
        int mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, int) : 0; \
        va_end(rest); \
        if ((flags & O_ACCMODE) != O_RDONLY && step_at("open", AT_FDCWD, path)) return -1; \
        int is_new = action == RECORD && flags & O_CREAT && access(path, F_OK); \
        int done = real(path, flags, mode); \
        if (done >= 0 && is_new) record("create", path, "", 0, 0, NULL); \
        if (done >= 0 && flags & O_TRUNC) record("ftruncate", path, "", 0, 0, NULL); \
        return done; \
    }

OPEN_CALL(open)
OPEN_CALL(open64)
