/* Stands between a test process and the disk (LD_PRELOAD): records in one total order what is
 * written and synced below QS_ROOT, and makes a chosen operation fail or be the last one.
 *
 *   QS_LOG=file       append each operation: kind, path, offset, data
 *   QS_KILL_AT=k      SIGKILL before the k-th operation
 *   QS_FAIL_SYNC=k    the k-th sync (fsync, fdatasync, sync_file_range) fails with EIO
 *   QS_FULL_AFTER=n   writes fail with ENOSPC once n bytes have been written
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;
static long long ops, syncs, written, kill_at, fail_sync, full_after = -1;
static const char *root;
static int log_fd = -1;

static long long number(const char *name, long long otherwise) {
    const char *v = getenv(name);
    return v ? atoll(v) : otherwise;
}

__attribute__((constructor)) static void start(void) {
    root = getenv("QS_ROOT");
    kill_at = number("QS_KILL_AT", 0);
    fail_sync = number("QS_FAIL_SYNC", 0);
    full_after = number("QS_FULL_AFTER", -1);
    const char *log = getenv("QS_LOG");
    if (log) log_fd = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static int ours(const char *path) { return root && strncmp(path, root, strlen(root)) == 0; }

static int path_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, PATH_MAX - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return ours(path);
}

static void put(const void *p, size_t n) {
    if (n && syscall(SYS_write, log_fd, p, n) != (ssize_t)n) _exit(99);
}

/* Called with the lock held, before the operation. */
static void before(void) {
    if (++ops == kill_at) { kill(getpid(), SIGKILL); pause(); }
}

static void record(char kind, const char *path, uint64_t at, const void *data, uint32_t len) {
    if (log_fd < 0) return;
    uint16_t plen = strlen(path);
    put(&kind, 1); put(&plen, 2); put(path, plen); put(&at, 8); put(&len, 4); put(data, len);
}

#define REAL(ret, name, ...) \
    static ret (*real)(__VA_ARGS__); \
    if (!real) real = (ret (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

static int full(size_t n) {
    if (full_after < 0 || written + (long long)n <= full_after) { written += n; return 0; }
    errno = ENOSPC;
    return 1;
}

static ssize_t do_pwrite(ssize_t (*real)(int, const void *, size_t, off_t), int fd, const void *b, size_t n, off_t at) {
    char path[PATH_MAX];
    if (!path_of(fd, path)) return real(fd, b, n, at);
    pthread_mutex_lock(&one);
    before();
    ssize_t r = full(n) ? -1 : real(fd, b, n, at);
    int e = errno;
    if (r > 0) record('w', path, at, b, r);
    pthread_mutex_unlock(&one);
    errno = e;
    return r;
}
ssize_t pwrite64(int fd, const void *b, size_t n, off_t at) { REAL(ssize_t, pwrite64, int, const void *, size_t, off_t); return do_pwrite(real, fd, b, n, at); }
ssize_t pwrite(int fd, const void *b, size_t n, off_t at) { REAL(ssize_t, pwrite, int, const void *, size_t, off_t); return do_pwrite(real, fd, b, n, at); }

ssize_t write(int fd, const void *b, size_t n) {
    REAL(ssize_t, write, int, const void *, size_t);
    char path[PATH_MAX];
    if (!path_of(fd, path)) return real(fd, b, n);
    pthread_mutex_lock(&one);
    before();
    off_t at = lseek(fd, 0, fcntl(fd, F_GETFL) & O_APPEND ? SEEK_END : SEEK_CUR);
    ssize_t r = full(n) ? -1 : real(fd, b, n);
    int e = errno;
    if (r > 0) record('w', path, at, b, r);
    pthread_mutex_unlock(&one);
    errno = e;
    return r;
}

/* Whether this sync is the one to fail; leaves a file that tells when. */
static int sync_fails(void) {
    if (++syncs != fail_sync) return 0;
    char mark[PATH_MAX];
    snprintf(mark, sizeof mark, "%s.failed", root);
    close(syscall(SYS_openat, AT_FDCWD, mark, O_WRONLY | O_CREAT, 0600));
    errno = EIO;
    return 1;
}

static int do_sync(int (*real)(int), int fd) {
    char path[PATH_MAX];
    if (!path_of(fd, path)) return real(fd);
    pthread_mutex_lock(&one);
    before();
    int r = sync_fails() ? -1 : real(fd), e = errno;
    if (r == 0) record('s', path, 0, 0, 0);
    pthread_mutex_unlock(&one);
    errno = e;
    return r;
}
int fsync(int fd) { REAL(int, fsync, int); return do_sync(real, fd); }
int fdatasync(int fd) { REAL(int, fdatasync, int); return do_sync(real, fd); }

int sync_file_range(int fd, off_t at, off_t n, unsigned f) {
    REAL(int, sync_file_range, int, off_t, off_t, unsigned);
    char path[PATH_MAX];
    if (!path_of(fd, path)) return real(fd, at, n, f);
    pthread_mutex_lock(&one);
    before();
    int r = sync_fails() ? -1 : real(fd, at, n, f), e = errno; /* durable: nothing (man 2 sync_file_range) */
    pthread_mutex_unlock(&one);
    errno = e;
    return r;
}

static int do_truncate(int (*real)(int, off_t), int fd, off_t n) {
    char path[PATH_MAX];
    if (!path_of(fd, path)) return real(fd, n);
    pthread_mutex_lock(&one);
    before();
    int r = real(fd, n), e = errno;
    if (r == 0) record('t', path, n, 0, 0);
    pthread_mutex_unlock(&one);
    errno = e;
    return r;
}
int ftruncate64(int fd, off_t n) { REAL(int, ftruncate64, int, off_t); return do_truncate(real, fd, n); }
int ftruncate(int fd, off_t n) { REAL(int, ftruncate, int, off_t); return do_truncate(real, fd, n); }

int rename(const char *from, const char *to) {
    REAL(int, rename, const char *, const char *);
    if (!ours(from)) return real(from, to);
    pthread_mutex_lock(&one);
    before();
    int r = real(from, to), e = errno;
    if (r == 0) record('r', from, 0, to, strlen(to));
    pthread_mutex_unlock(&one);
    errno = e;
    return r;
}

int unlink(const char *path) {
    REAL(int, unlink, const char *);
    if (!ours(path)) return real(path);
    pthread_mutex_lock(&one);
    before();
    int r = real(path), e = errno;
    if (r == 0) record('u', path, 0, 0, 0);
    pthread_mutex_unlock(&one);
    errno = e;
    return r;
}

int open64(const char *path, int flags, ...) {
    REAL(int, open64, const char *, int, ...);
    va_list args;
    va_start(args, flags);
    mode_t mode = va_arg(args, mode_t);
    va_end(args);
    if (!ours(path) || !(flags & (O_CREAT | O_TRUNC))) return real(path, flags, mode);
    pthread_mutex_lock(&one);
    before();
    int r = real(path, flags, mode), e = errno;
    if (r >= 0) record(flags & O_TRUNC ? 'z' : 'c', path, 0, 0, 0);
    pthread_mutex_unlock(&one);
    errno = e;
    return r;
}
