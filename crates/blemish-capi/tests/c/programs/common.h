/* What all programs of the tests share. A check that fails ends the program with 1 and says where. */
#ifndef COMMON_H
#define COMMON_H

#include "blemish.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(what)                                                                                                    \
    do {                                                                                                               \
        if (!(what)) {                                                                                                 \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #what);                                         \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

/* Ends the program with the library's words unless the status is the wanted one and the error has the wanted code. */
static inline void expect(blemish_status status, blemish_error *error, blemish_status wanted, const char *code, int line) {
    if (status != wanted || (code && strcmp(blemish_error_code(error), code) != 0) ||
        (wanted != BLEMISH_OK) != (error != NULL)) {
        fprintf(stderr, "line %d: status %d, not %d %s: %s: %s; %s\n", line, (int)status, (int)wanted, code ? code : "",
                blemish_error_code(error), blemish_error_message(error), blemish_error_help(error));
        exit(1);
    }
    blemish_error_free(error);
}

#define EXPECT(wanted, code, call)                                                                                     \
    do {                                                                                                               \
        blemish_error *error = (blemish_error *)&error;                                                                \
        blemish_status status = (call);                                                                                \
        expect(status, error, (wanted), (code), __LINE__);                                                             \
    } while (0)

#define FINE(call) EXPECT(BLEMISH_OK, NULL, call)

/* A whole file; *length becomes its size. */
static inline unsigned char *slurp(const char *path, size_t *length) {
    FILE *file = fopen(path, "rb");
    CHECK(file && fseek(file, 0, SEEK_END) == 0);
    long size = ftell(file);
    CHECK(size >= 0 && fseek(file, 0, SEEK_SET) == 0);
    unsigned char *bytes = malloc((size_t)size + 1);
    CHECK(bytes && fread(bytes, 1, (size_t)size, file) == (size_t)size);
    fclose(file);
    *length = (size_t)size;
    return bytes;
}

/* The bits of a score, which agree or do not. */
static inline uint32_t bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline blemish_image image_of(int32_t format, uint32_t width, uint32_t height, size_t stride, const void *pixels) {
    blemish_image image;
    memset(&image, 0, sizeof image);
    image.struct_size = sizeof image;
    image.format = format;
    image.width = width;
    image.height = height;
    image.stride = stride;
    image.planes[0] = pixels;
    return image;
}

/* A detector of one thread or more; 0 is one for each core. */
static inline blemish_detector *load(const char *path, uint32_t threads) {
    blemish_load_options options;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.threads = threads;
    blemish_detector *detector = NULL;
    FINE(blemish_load(path, &options, &detector, &error));
    CHECK(detector);
    return detector;
}

/* A picture of 8-bit RGB of noise, the same for the same numbers. */
static inline void paint(unsigned char *rgb, uint32_t width, uint32_t height, uint32_t seed) {
    for (uint32_t y = 0; y < height; y++) {
        for (uint32_t x = 0; x < width; x++) {
            uint32_t noise = (x + 1) * 2654435761u ^ (y + 1) * 2246822519u ^ (seed + 1) * 3266489917u;
            noise = ((noise ^ noise >> 15) * 2246822519u) >> 24;
            unsigned char *pixel = rgb + 3 * ((size_t)y * width + x);
            pixel[0] = (unsigned char)(80 + 4 * (seed % 16) + noise % 32);
            pixel[1] = (unsigned char)(100 + noise % 24);
            pixel[2] = (unsigned char)(120 + noise % 16);
        }
    }
}

#endif
