/* Writes down, in order, what a process asks of its disk, and when it commits offsets to Kafka: preloaded before the C
   library (LD_PRELOAD), into the file that DURABLE_LOG names. A line is a call that has succeeded; a commit, one that is
   about to be sent. Beside that, a disk that has no room for a table's files while the file that DURABLE_FULL names is
   there. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static ssize_t raw_write(int fd, const void *bytes, size_t length) {
    ssize_t (*call)(int, const void *, size_t) =
        (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    return call(fd, bytes, length);
}

static ssize_t path_of(int fd, char *path, size_t size) {
    char name[64];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(name, path, size - 1);
    if (length > 0) path[length] = 0;
    return length;
}

/* Half of a file that is too large is written, as a disk does it that is filling up. */
ssize_t write(int fd, const void *bytes, size_t length) {
    const char *full = getenv("DURABLE_FULL");
    char path[4096];
    if (full && access(full, F_OK) == 0 && path_of(fd, path, sizeof path) > 0 && strstr(path, ".tmp")) {
        struct stat there;
        if (length < 100 || (fstat(fd, &there) == 0 && there.st_size > 0)) {
            errno = ENOSPC;
            return -1;
        }
        length /= 2;
    }
    return raw_write(fd, bytes, length);
}

static void note(const char *what, const char *path) {
    if (!getenv("DURABLE_LOG")) return;
    char line[8192];
    int length = snprintf(line, sizeof line, "%s %s\n", what, path);
    int log = open(getenv("DURABLE_LOG"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log < 0 || raw_write(log, line, length) != length) abort();
    close(log);
}

static int synced(const char *real, int fd) {
    int (*call)(int) = (int (*)(int))dlsym(RTLD_NEXT, real);
    int done = call(fd);
    char path[4096];
    if (done == 0 && path_of(fd, path, sizeof path) > 0) note("sync", path);
    return done;
}

int fsync(int fd) { return synced("fsync", fd); }
int fdatasync(int fd) { return synced("fdatasync", fd); }

int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags) {
    int (*call)(int, const char *, int, const char *, int) =
        (int (*)(int, const char *, int, const char *, int))dlsym(RTLD_NEXT, "linkat");
    int done = call(from_folder, from, to_folder, to, flags);
    if (done == 0) {
        note("from", from);
        note("link", to);
    }
    return done;
}

int mkdir(const char *path, mode_t mode) {
    int (*call)(const char *, mode_t) = (int (*)(const char *, mode_t))dlsym(RTLD_NEXT, "mkdir");
    int done = call(path, mode);
    if (done == 0) note("folder", path);
    return done;
}

/* A request of Kafka's protocol: four bytes of length, two of what it is; 8 is OffsetCommit. */
ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    ssize_t (*call)(int, const struct msghdr *, int) =
        (ssize_t (*)(int, const struct msghdr *, int))dlsym(RTLD_NEXT, "sendmsg");
    const unsigned char *bytes = message->msg_iovlen ? message->msg_iov[0].iov_base : NULL;
    if (bytes && message->msg_iov[0].iov_len >= 8 && bytes[4] == 0 && bytes[5] == 8) note("commit", "");
    return call(fd, message, flags);
}
