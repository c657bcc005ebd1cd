/* cancel MODEL WIDTH HEIGHT: another thread ends the scoring of a large image at once. */
#include "common.h"

#include <pthread.h>
#include <time.h>

static volatile int32_t cancel;
static double set_at;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void *stop(void *nothing) {
    struct timespec pause = {0, 150 * 1000 * 1000};
    nanosleep(&pause, NULL);
    set_at = now();
    cancel = 1;
    return nothing;
}

int main(int count, char **arguments) {
    CHECK(count == 4);
    uint32_t width = (uint32_t)atoi(arguments[2]), height = (uint32_t)atoi(arguments[3]);
    blemish_detector *detector = load(arguments[1], 0);
    unsigned char *rgb = malloc((size_t)3 * width * height);
    paint(rgb, width, height, 1);
    blemish_image image = image_of(BLEMISH_RGB8, width, height, 0, rgb);
    blemish_score_options options;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.cancel = &cancel;
    blemish_result *result = NULL;
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, stop, NULL) == 0);
    EXPECT(BLEMISH_INTERRUPTED, "interrupted", blemish_score(detector, &image, &options, &result, &error));
    double took = now() - set_at;
    CHECK(pthread_join(thread, NULL) == 0 && result == NULL);
    printf("%.0f\n", 1e3 * took);
    /* Set before, it ends the call before the work. */
    EXPECT(BLEMISH_INTERRUPTED, NULL, blemish_score(detector, &image, &options, &result, &error));
    cancel = 0;
    image = image_of(BLEMISH_RGB8, 64, 64, (size_t)3 * width, rgb);
    FINE(blemish_score(detector, &image, &options, &result, &error));
    blemish_result_free(result);
    blemish_detector_free(detector);
    free(rgb);
    return 0;
}
