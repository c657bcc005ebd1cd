/* unload LIBRARY MODEL TIMES: the library is loaded, used and unloaded; threads and memory are as before. */
#include "common.h"
#include "process.h"

#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>

enum { WIDTH = 32, HEIGHT = 32 };

static const char *library, *model;
static uint32_t score;

/* In a thread of its own, so that what the library keeps for a thread goes before the library. */
static void *use(void *nothing) {
    unsigned char rgb[3 * WIDTH * HEIGHT];
    paint(rgb, WIDTH, HEIGHT, 1);
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    CHECK(handle);
    /* Data pointers become functions by way of memory: the standard knows no cast. */
    blemish_status (*load_model)(const char *, const blemish_load_options *, blemish_detector **, blemish_error **);
    blemish_status (*score_image)(const blemish_detector *, const blemish_image *, const blemish_score_options *,
                                  blemish_result **, blemish_error **);
    float (*score_of)(const blemish_result *);
    void (*free_result)(blemish_result *);
    void (*free_detector)(blemish_detector *);
    *(void **)&load_model = dlsym(handle, "blemish_load");
    *(void **)&score_image = dlsym(handle, "blemish_score");
    *(void **)&score_of = dlsym(handle, "blemish_result_score");
    *(void **)&free_result = dlsym(handle, "blemish_result_free");
    *(void **)&free_detector = dlsym(handle, "blemish_detector_free");
    CHECK(load_model && score_image && score_of && free_result && free_detector);
    blemish_detector *detector = NULL;
    blemish_result *result = NULL;
    blemish_image image = image_of(BLEMISH_RGB8, WIDTH, HEIGHT, 0, rgb);
    CHECK(load_model(model, NULL, &detector, NULL) == BLEMISH_OK);
    CHECK(score_image(detector, &image, NULL, &result, NULL) == BLEMISH_OK);
    uint32_t found = bits(score_of(result));
    CHECK(score == 0 || score == found);
    score = found;
    free_result(result);
    free_detector(detector);
    CHECK(dlclose(handle) == 0);
    return nothing;
}

/* Whether the library is in memory. What a thread kept of it goes at the next look after the thread's end. */
static int is_loaded(void) {
    void *handle = NULL;
    for (int look = 0; look < 2; look++) {
        handle = dlopen(library, RTLD_LAZY | RTLD_NOLOAD);
        if (handle) dlclose(handle);
    }
    return handle != NULL;
}

/* Kilobytes in use. What the allocator holds for later rises and falls by more than what a leak would take. */
static long used(void) {
#ifdef __GLIBC__
    malloc_trim(0);
#endif
    return process_number("VmRSS:");
}

int main(int count, char **arguments) {
    CHECK(count == 4);
    library = arguments[1], model = arguments[2];
    int times = atoi(arguments[3]), gone = 0;
    long threads = process_number("Threads:"), settled = 0;
    for (int time = 0; time < times; time++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, use, NULL) == 0 && pthread_join(thread, NULL) == 0);
        CHECK(has_threads(threads));
        gone += !is_loaded();
        if (time == times / 4) settled = used();
    }
    long after = used();
    printf("unloaded %d of %d times, %ld kB after a quarter, %ld kB after all\n", gone, times, settled, after);
    CHECK(after < settled + 4096);
    return 0;
}
