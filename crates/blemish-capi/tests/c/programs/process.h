/* What Linux says of this process. */
#ifndef PROCESS_H
#define PROCESS_H

#include <stdio.h>
#include <string.h>

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

#endif
