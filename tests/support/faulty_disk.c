// Preloaded into a process: while FAULTY_DISK/hang is there syncs take no end, while FAULTY_DISK/keep is there no segment can be removed.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int told(const char *what) {
    char path[4096];
    const char *dir = getenv("FAULTY_DISK");
    if (!dir) return 0;
    snprintf(path, sizeof path, "%s/%s", dir, what);
    return access(path, F_OK) == 0;
}

int fdatasync(int file) {
    while (told("hang")) usleep(20000);
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(file);
}

int unlink(const char *path) {
    if (strstr(path, ".seg") && told("keep")) { errno = EIO; return -1; }
    return ((int (*)(const char *))dlsym(RTLD_NEXT, "unlink"))(path);
}
