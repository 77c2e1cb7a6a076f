/* Faults for one process, by LD_PRELOAD: what an operating system may answer and never does when
 * one looks. The file that QUORATE_FAULT names says which, as "WORD N"; without it there is none.
 *
 *   sync N     the Nth fsync, fdatasync or sync_file_range from now on fails with EIO; the next
 *              one succeeds, as Linux does it after it has dropped the pages
 *   full       writes to files fail with ENOSPC, as above a quota
 *   random     getrandom fails
 *   threads N  no thread is given while N are alive, as below a limit of a control group
 *
 * When a fault first strikes it leaves a file beside: its time is that of the fault. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static char control[4096], struck[4096 + 8];

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("QUORATE_FAULT");
  if (path == NULL || strlen(path) >= sizeof control) return;
  strcpy(control, path);
  snprintf(struck, sizeof struck, "%s.struck", path);
}

/* The number behind the word, if it is the one that is asked for; else -1. */
static long asked(const char *word) {
  char text[64] = {0}, found[16] = {0};
  long n = 0;
  int before = errno;
  int fd = control[0] ? (int)syscall(SYS_openat, AT_FDCWD, control, O_RDONLY | O_CLOEXEC) : -1;
  if (fd >= 0) {
    if (syscall(SYS_read, fd, text, sizeof text - 1) < 0) text[0] = 0;
    syscall(SYS_close, fd);
  }
  errno = before;
  sscanf(text, "%15s %ld", found, &n);
  return strcmp(found, word) == 0 ? n : -1;
}

static int strike(int error) {
  int fd = (int)syscall(SYS_openat, AT_FDCWD, struck, O_WRONLY | O_CREAT | O_EXCL, 0600);
  if (fd >= 0) syscall(SYS_close, fd);
  errno = error;
  return -1;
}

static int sync_fails(void) {
  static atomic_long calls;
  long n = asked("sync");
  return n >= 0 && atomic_fetch_add(&calls, 1) + 1 == n;
}

/* A log may go to a file as well: standard error is none of the node's. */
static int write_fails(int fd) {
  struct stat s;
  return fd > 2 && asked("full") >= 0 && fstat(fd, &s) == 0 && S_ISREG(s.st_mode);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int fsync(int fd) { return sync_fails() ? strike(EIO) : REAL(fsync)(fd); }

int fdatasync(int fd) { return sync_fails() ? strike(EIO) : REAL(fdatasync)(fd); }

int sync_file_range(int fd, off64_t at, off64_t len, unsigned flags) {
  return sync_fails() ? strike(EIO) : REAL(sync_file_range)(fd, at, len, flags);
}

ssize_t write(int fd, const void *bytes, size_t len) {
  return write_fails(fd) ? strike(ENOSPC) : REAL(write)(fd, bytes, len);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
  return write_fails(fd) ? strike(ENOSPC) : REAL(writev)(fd, parts, count);
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t at) {
  return write_fails(fd) ? strike(ENOSPC) : REAL(pwrite64)(fd, bytes, len, at);
}

ssize_t getrandom(void *bytes, size_t len, unsigned flags) {
  return asked("random") >= 0 ? strike(EIO) : REAL(getrandom)(bytes, len, flags);
}

struct start {
  void *(*run)(void *);
  void *arg;
};

static atomic_long living;

static void *live(void *start) {
  struct start s = *(struct start *)start;
  free(start);
  void *result = s.run(s.arg);
  atomic_fetch_sub(&living, 1);
  return result;
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg) {
  long n = asked("threads");
  if (n >= 0 && atomic_load(&living) >= n) return strike(EAGAIN), EAGAIN;
  struct start *start = malloc(sizeof *start);
  if (start == NULL) return EAGAIN;
  *start = (struct start){run, arg};
  atomic_fetch_add(&living, 1);
  int error = REAL(pthread_create)(thread, attr, live, start);
  if (error) {
    atomic_fetch_sub(&living, 1);
    free(start);
  }
  return error;
}
