/* Writes down, in order, what a process asks of its disk, and when it commits offsets to Kafka: preloaded before the C
   library (LD_PRELOAD), into the file that DURABLE_LOG names. A line is a call that has succeeded; a commit, one that is
   about to be sent. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static void note(const char *what, const char *path) {
    char line[8192];
    int length = snprintf(line, sizeof line, "%s %s\n", what, path);
    int log = open(getenv("DURABLE_LOG"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log < 0 || write(log, line, length) != length) abort();
    close(log);
}

static int synced(const char *real, int fd) {
    int (*call)(int) = (int (*)(int))dlsym(RTLD_NEXT, real);
    int done = call(fd);
    char name[64], path[4096];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(name, path, sizeof path - 1);
    if (done == 0 && length > 0) {
        path[length] = 0;
        note("sync", path);
    }
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
