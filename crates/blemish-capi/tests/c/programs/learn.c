/* learn FOLDER OUTPUT: fits on pictures in memory, updates, calibrates, saves; watches and cancels; fits on a folder. */
#include "common.h"

enum { WIDTH = 48, HEIGHT = 40, PICTURES = 12 };

static unsigned char pictures[PICTURES][3 * WIDTH * HEIGHT];

typedef struct {
    int events, stages, warnings, is_inside, is_wrong, end_after;
} watcher;

static int32_t watch(const blemish_progress *progress, void *user) {
    watcher *watcher = user;
    watcher->is_wrong |= watcher->is_inside || progress->struct_size < sizeof *progress;
    watcher->is_inside = 1;
    watcher->events++;
    watcher->stages += progress->kind == BLEMISH_PROGRESS_STAGE && strlen(progress->stage) > 0;
    watcher->warnings += progress->kind == BLEMISH_PROGRESS_WARNING && strlen(progress->message) > 0;
    watcher->is_inside = 0;
    return watcher->end_after > 0 && watcher->events >= watcher->end_after;
}

static float score(const blemish_detector *detector, const unsigned char *rgb, double *p_value) {
    blemish_image image = image_of(BLEMISH_RGB8, WIDTH, HEIGHT, 0, rgb);
    blemish_result *result = NULL;
    FINE(blemish_score(detector, &image, NULL, &result, &error));
    float score = blemish_result_score(result);
    *p_value = -1;
    blemish_result_p_value(result, p_value);
    blemish_result_free(result);
    return score;
}

int main(int count, char **arguments) {
    CHECK(count == 3);
    blemish_image images[PICTURES];
    for (uint32_t at = 0; at < PICTURES; at++) {
        paint(pictures[at], WIDTH, HEIGHT, at);
        images[at] = image_of(BLEMISH_RGB8, WIDTH, HEIGHT, 0, pictures[at]);
    }
    blemish_load_options running;
    memset(&running, 0, sizeof running);
    running.struct_size = sizeof running, running.threads = 2;
    blemish_fit_options fit;
    memset(&fit, 0, sizeof fit);
    fit.struct_size = sizeof fit;
    blemish_detector *detector = NULL;
    EXPECT(BLEMISH_USAGE, "usage", blemish_fit(&fit, NULL, NULL, &detector, &error));
    fit.images = images, fit.image_count = 8, fit.width = 64, fit.height = 64, fit.updatable = 1, fit.running = &running;
    fit.method = "nothing of the kind";
    EXPECT(BLEMISH_USAGE, "unknown_method", blemish_fit(&fit, NULL, NULL, &detector, &error));
    fit.method = "patchcore", fit.settings = "{\"no_such_setting\": 1}";
    EXPECT(BLEMISH_USAGE, "setting", blemish_fit(&fit, NULL, NULL, &detector, &error));
    fit.settings = "coreset_ratio=0.5";
    EXPECT(BLEMISH_USAGE, "usage", blemish_fit(&fit, NULL, NULL, &detector, &error));
    fit.settings = "{\"coreset_ratio\": 0.5}";
    watcher ended = {0};
    ended.end_after = 3;
    EXPECT(BLEMISH_INTERRUPTED, "interrupted", blemish_fit(&fit, watch, &ended, &detector, &error));
    volatile int32_t cancel = 1;
    fit.cancel = &cancel;
    EXPECT(BLEMISH_INTERRUPTED, "interrupted", blemish_fit(&fit, NULL, NULL, &detector, &error));
    fit.cancel = NULL;
    CHECK(detector == NULL && ended.events == 3);

    watcher watcher = {0};
    FINE(blemish_fit(&fit, watch, &watcher, &detector, &error));
    CHECK(watcher.stages > 1 && watcher.events > watcher.stages && !watcher.is_wrong);
    double p_value, with_less, kept;
    float fitted = score(detector, pictures[9], &p_value);
    CHECK(fitted > 0 && p_value >= 0 && p_value <= 1);

    /* More good images: another detector, the old one as it was. */
    blemish_learn_options learn;
    memset(&learn, 0, sizeof learn);
    learn.struct_size = sizeof learn;
    blemish_detector *updated = NULL, *calibrated = NULL, *loaded = NULL, *folder = NULL;
    EXPECT(BLEMISH_USAGE, "usage", blemish_update(detector, &learn, NULL, NULL, &updated, &error));
    learn.images = images + 8, learn.image_count = 2;
    memset(&watcher, 0, sizeof watcher);
    FINE(blemish_update(detector, &learn, watch, &watcher, &updated, &error));
    CHECK(watcher.warnings == 1 && !watcher.is_wrong);
    CHECK(score(updated, pictures[9], &p_value) < fitted && p_value == -1);
    CHECK(bits(score(detector, pictures[9], &kept)) == bits(fitted) && kept >= 0);

    /* Thresholds: of the update, which has none, from good images; of the first by another rate. */
    learn.image_count = 0, learn.images = NULL;
    EXPECT(BLEMISH_NOT_CALIBRATED, "not_calibrated", blemish_calibrate(updated, &learn, NULL, NULL, &calibrated, &error));
    learn.images = images + 8, learn.image_count = 4, learn.false_alarm = 2;
    EXPECT(BLEMISH_USAGE, "setting", blemish_calibrate(updated, &learn, NULL, NULL, &calibrated, &error));
    learn.false_alarm = 0.2;
    FINE(blemish_calibrate(updated, &learn, watch, &watcher, &calibrated, &error));
    float now = score(calibrated, pictures[9], &with_less);
    CHECK(with_less > 0 && bits(now) == bits(score(updated, pictures[9], &p_value)));

    FINE(blemish_save(calibrated, arguments[2], &error));
    FINE(blemish_load(arguments[2], NULL, &loaded, &error));
    FINE(blemish_verify(loaded, &kept, &error));
    CHECK(kept == 0 && bits(score(loaded, pictures[9], &p_value)) == bits(now) && p_value == with_less);

    /* A folder, with nothing said. */
    memset(&fit, 0, sizeof fit);
    fit.struct_size = sizeof fit, fit.data = arguments[1], fit.no_calibration = 1, fit.method = "statistical";
    FINE(blemish_fit(&fit, NULL, NULL, &folder, &error));
    learn.images = NULL, learn.image_count = 0, learn.data = arguments[1];
    blemish_detector *none = NULL;
    EXPECT(BLEMISH_USAGE, "cannot_update", blemish_update(folder, &learn, NULL, NULL, &none, &error));
    learn.images = images, learn.image_count = 1;
    EXPECT(BLEMISH_USAGE, "usage", blemish_calibrate(folder, &learn, NULL, NULL, &none, &error));
    CHECK(none == NULL);
    blemish_detector_free(detector);
    blemish_detector_free(updated);
    blemish_detector_free(calibrated);
    blemish_detector_free(loaded);
    blemish_detector_free(folder);
    puts("done");
    return 0;
}
