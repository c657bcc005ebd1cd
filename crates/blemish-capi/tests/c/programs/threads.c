/* threads MODEL CALLS: 16 threads share a detector; every score has the bits of one thread alone. */
#include "common.h"

#include <pthread.h>

enum { WIDTH = 40, HEIGHT = 32, PICTURES = 4, THREADS = 16 };

static blemish_detector *detector;
static unsigned char pictures[PICTURES][3 * WIDTH * HEIGHT];
static uint32_t wanted[PICTURES];
static int calls;

static uint32_t score(int picture) {
    blemish_image image = image_of(BLEMISH_RGB8, WIDTH, HEIGHT, 0, pictures[picture]);
    blemish_result *result = NULL;
    FINE(blemish_score(detector, &image, NULL, &result, &error));
    uint32_t found = bits(blemish_result_score(result));
    blemish_result_free(result);
    return found;
}

static void *work(void *argument) {
    size_t wrong = 0;
    for (int call = 0; call < calls; call++) {
        int picture = (call + (int)(size_t)argument) % PICTURES;
        wrong += score(picture) != wanted[picture];
    }
    return (void *)wrong;
}

int main(int count, char **arguments) {
    CHECK(count == 3);
    calls = atoi(arguments[2]) / THREADS;
    detector = load(arguments[1], 1);
    for (int picture = 0; picture < PICTURES; picture++) {
        paint(pictures[picture], WIDTH, HEIGHT, (uint32_t)picture);
        wanted[picture] = score(picture);
        CHECK(picture == 0 || wanted[picture] != wanted[0]);
    }
    blemish_detector_free(detector);
    detector = load(arguments[1], 4);
    pthread_t threads[THREADS];
    for (size_t at = 0; at < THREADS; at++) CHECK(pthread_create(&threads[at], NULL, work, (void *)at) == 0);
    for (size_t at = 0; at < THREADS; at++) {
        void *wrong;
        CHECK(pthread_join(threads[at], &wrong) == 0 && wrong == NULL);
    }
    blemish_detector_free(detector);
    puts("done");
    return 0;
}
