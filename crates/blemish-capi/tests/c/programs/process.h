/* What Linux says of this process. */
#ifndef PROCESS_H
#define PROCESS_H

#include <stdio.h>
#include <string.h>
#include <time.h>

/* A number of /proc/self/status, such as that of "Threads:" or "VmRSS:" (in kB); -1 where it is not to be had. */
static inline long process_number(const char *name) {
    FILE *status = fopen("/proc/self/status", "r");
    char line[256];
    long number = -1;
    while (status && fgets(line, sizeof line, status)) {
        if (strncmp(line, name, strlen(name)) == 0) sscanf(line + strlen(name), "%ld", &number);
    }
    if (status) fclose(status);
    return number;
}

/* Whether the process has so many threads, at the latest after a second: Linux counts one that has been joined for a moment more. */
static inline int has_threads(long number) {
    for (int tries = 0; tries < 1000; tries++) {
        struct timespec moment = {0, 1000000};
        if (process_number("Threads:") == number) return 1;
        nanosleep(&moment, NULL);
    }
    return 0;
}

#endif
