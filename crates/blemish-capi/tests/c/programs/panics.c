/* panics MODEL: of a library with the feature inject-panic. A panic is a status; whatever thread it was in, the next call works. */
#include "common.h"

blemish_status blemish_inject_panic(const blemish_detector *detector, int32_t place, blemish_error **error);

int main(int count, char **arguments) {
    CHECK(count == 2);
    unsigned char rgb[3 * 32 * 32];
    paint(rgb, 32, 32, 1);
    blemish_detector *detector = load(arguments[1], 2);
    for (int time = 0; time < 200; time++) {
        blemish_error *error = NULL;
        CHECK(blemish_inject_panic(detector, time % 2, &error) == BLEMISH_INTERNAL);
        CHECK(strcmp(blemish_error_code(error), "panic") == 0);
        CHECK(strstr(blemish_error_message(error), time % 2 ? "injected in a worker" : "injected in the caller"));
        CHECK(strstr(blemish_error_message(error), "inject.rs"));
        blemish_error_free(error);
        blemish_image image = image_of(BLEMISH_RGB8, 32, 32, 0, rgb);
        blemish_result *result = NULL;
        FINE(blemish_score(detector, &image, NULL, &result, &error));
        blemish_result_free(result);
    }
    blemish_detector_free(detector);
    puts("done");
    return 0;
}
