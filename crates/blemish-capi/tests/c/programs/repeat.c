/* repeat MODEL TIMES: loading, scoring and freeing again and again takes no more memory and leaves no thread. */
#include "common.h"
#include "process.h"

enum { WIDTH = 32, HEIGHT = 32 };

int main(int count, char **arguments) {
    CHECK(count == 3);
    int times = atoi(arguments[2]);
    unsigned char rgb[3 * WIDTH * HEIGHT];
    paint(rgb, WIDTH, HEIGHT, 1);
    long before = process_number("Threads:"), settled = 0;
    for (int time = 0; time < times; time++) {
        blemish_detector *detector = load(arguments[1], 2);
        CHECK(process_number("Threads:") > before);
        blemish_image image = image_of(BLEMISH_RGB8, WIDTH, HEIGHT, 0, rgb);
        blemish_result *result = NULL;
        FINE(blemish_score(detector, &image, NULL, &result, &error));
        /* What fails must not keep anything either. */
        blemish_detector *none = NULL;
        EXPECT(BLEMISH_MODEL, NULL, blemish_load_bytes("garbage", 7, NULL, &none, &error));
        image.width = 0;
        EXPECT(BLEMISH_INPUT, NULL, blemish_score(detector, &image, NULL, &result, &error));
        blemish_result_free(result);
        blemish_detector_free(detector);
        CHECK(has_threads(before));
        if (time == times / 4) settled = process_number("VmRSS:");
    }
    long after = process_number("VmRSS:");
    printf("%ld kB after a quarter, %ld kB after all\n", settled, after);
    CHECK(after < settled + 4096);
    return 0;
}
