/* misuse MODEL: calls that cannot be right. Each has a status, and the detector works afterwards. */
#include "common.h"

enum { WIDTH = 19, HEIGHT = 17 };

static blemish_detector *detector;
static unsigned char rgb[3 * WIDTH * HEIGHT];

static void refused(blemish_image image, blemish_status status, const char *code) {
    blemish_result *result = NULL;
    EXPECT(status, code, blemish_score(detector, &image, NULL, &result, &error));
    CHECK(result == NULL);
    /* Without an error to fill it is the same. */
    CHECK(blemish_score(detector, &image, NULL, &result, NULL) == status && result == NULL);
}

static blemish_image good(void) { return image_of(BLEMISH_RGB8, WIDTH, HEIGHT, 0, rgb); }

static void images(void) {
    blemish_image image = good();
    image.width = 0, refused(image, BLEMISH_INPUT, "pixels");
    image = good(), image.height = 0, refused(image, BLEMISH_INPUT, "pixels");
    image = good(), image.stride = 3 * WIDTH - 1, refused(image, BLEMISH_INPUT, "pixels");
    image = good(), image.stride = (size_t)-3 * WIDTH, refused(image, BLEMISH_INPUT, "pixels");
    image = good(), image.width = image.height = UINT32_MAX, refused(image, BLEMISH_INPUT, NULL);
    image = good(), image.width = image.height = 65536, refused(image, BLEMISH_INPUT, "image_too_large");
    image = good(), image.height = UINT32_MAX, image.stride = SIZE_MAX / 2, refused(image, BLEMISH_INPUT, NULL);
    image = good(), image.planes[0] = NULL, refused(image, BLEMISH_USAGE, "usage");
    image = good(), image.format = BLEMISH_PLANAR_RGB8, refused(image, BLEMISH_USAGE, "usage");
    image = good(), image.width = image.height = 3, refused(image, BLEMISH_INPUT, "image_too_small");
    for (int32_t format = -2; format < 20; format++) {
        image = good(), image.format = format;
        if (format < BLEMISH_GREY8 || format > BLEMISH_PLANAR_RGB16) refused(image, BLEMISH_USAGE, "usage");
    }
    float real[WIDTH * HEIGHT] = {0};
    image = image_of(BLEMISH_GREY32F, WIDTH, HEIGHT, 0, real);
    real[7] = NAN, refused(image, BLEMISH_INPUT, "image_values");
    real[7] = INFINITY, refused(image, BLEMISH_INPUT, "image_values");
    real[7] = 1.5f, refused(image, BLEMISH_INPUT, "image_values");
}

/* The sizes that structs say. */
static void sizes(void) {
    struct {
        blemish_image image;
        unsigned char more[64];
    } newer;
    memset(&newer, 0, sizeof newer);
    newer.image = good();
    static const uint32_t none[] = {0, 1, 4, sizeof(blemish_image) - 1, 1u << 20, UINT32_MAX};
    for (size_t at = 0; at < sizeof none / sizeof *none; at++) {
        blemish_image image = good();
        image.struct_size = none[at], refused(image, BLEMISH_USAGE, "usage");
    }
    blemish_result *result = NULL;
    newer.image.struct_size = sizeof newer;
    FINE(blemish_score(detector, &newer.image, NULL, &result, &error));
    blemish_result_free(result), result = NULL;
    newer.more[60] = 1;
    EXPECT(BLEMISH_USAGE, "usage", blemish_score(detector, &newer.image, NULL, &result, &error));

    blemish_image image = good();
    blemish_score_options options;
    memset(&options, 0, sizeof options);
    EXPECT(BLEMISH_USAGE, "usage", blemish_score(detector, &image, &options, &result, &error));
    options.struct_size = sizeof options;
    options.min_area = NAN;
    EXPECT(BLEMISH_USAGE, "usage", blemish_score(detector, &image, &options, &result, &error));
    blemish_load_options running;
    memset(&running, 0, sizeof running);
    blemish_detector *other = NULL;
    EXPECT(BLEMISH_USAGE, "usage", blemish_load("x", &running, &other, &error));
    running.struct_size = sizeof running, running.engine = "steam";
    EXPECT(BLEMISH_USAGE, NULL, blemish_load("x", &running, &other, &error));
    running.engine = "\xff";
    EXPECT(BLEMISH_USAGE, "usage", blemish_load("x", &running, &other, &error));
    CHECK(result == NULL && other == NULL);
}

static void models(const char *path) {
    blemish_detector *other = NULL;
    EXPECT(BLEMISH_ENVIRONMENT, "io", blemish_load("nowhere.blemish", NULL, &other, &error));
    EXPECT(BLEMISH_MODEL, "not_a_model", blemish_load_bytes("garbage, and not little of it", 29, NULL, &other, &error));
    EXPECT(BLEMISH_MODEL, NULL, blemish_load_bytes("", 0, NULL, &other, &error));
    EXPECT(BLEMISH_USAGE, "usage", blemish_load_bytes("", SIZE_MAX, NULL, &other, &error));
    size_t length;
    unsigned char *bytes = slurp(path, &length);
    for (size_t end = 1; end < length; end += length / 20) {
        /* In memory that ends there. */
        unsigned char *part = malloc(end);
        memcpy(part, bytes, end);
        EXPECT(BLEMISH_MODEL, NULL, blemish_load_bytes(part, end, NULL, &other, &error));
        free(part);
    }
    bytes[length / 2] ^= 1;
    EXPECT(BLEMISH_MODEL, "corrupt", blemish_load_bytes(bytes, length, NULL, &other, &error));
    free(bytes);
    blemish_result *result = NULL;
    EXPECT(BLEMISH_INPUT, "image_unreadable", blemish_score_file(detector, "nowhere.png", NULL, &result, &error));
    EXPECT(BLEMISH_INPUT, "image_format", blemish_score_encoded(detector, "%PDF-1.4 and more", 17, NULL, &result, &error));
    EXPECT(BLEMISH_INPUT, "image_unreadable", blemish_score_encoded(detector, "", 0, NULL, &result, &error));
    CHECK(other == NULL && result == NULL);
    EXPECT(BLEMISH_ENVIRONMENT, "io", blemish_save(detector, "no/such/folder/x.blemish", &error));
}

/* The call without structs: what it refuses, and how it cuts its words. */
static void simple(void) {
    double score = 42, p_value = 42;
    int32_t anomalous = 42, height = 0, width = 0;
    char message[400];
    CHECK(blemish_score_simple(detector, rgb, WIDTH, HEIGHT, 0, BLEMISH_RGB8, &score, NULL, NULL, NULL, 0, NULL, NULL, NULL,
                               0) == BLEMISH_OK);
    CHECK(score != 42);
    score = 42;
    float map[4] = {1, 2, 3, 4};
    CHECK(blemish_score_simple(detector, rgb, WIDTH, HEIGHT, 0, BLEMISH_RGB8, &score, &p_value, &anomalous, map, 3, &height,
                               &width, message, sizeof message) == BLEMISH_USAGE);
    CHECK(score == 42 && p_value == 42 && anomalous == 42 && height > 1 && width > 1 && strlen(message) > 20);
    CHECK(map[0] == 1 && map[1] == 2 && map[2] == 3 && map[3] == 4);
    static const int32_t wrong[][4] = {{-1, HEIGHT, 0, BLEMISH_RGB8},
                                       {WIDTH, -1, 0, BLEMISH_RGB8},
                                       {0, 0, 0, BLEMISH_RGB8},
                                       {WIDTH, HEIGHT, -3 * WIDTH, BLEMISH_RGB8},
                                       {WIDTH, HEIGHT, 3, BLEMISH_RGB8},
                                       {INT32_MAX, INT32_MAX, 0, BLEMISH_RGB8},
                                       {INT32_MAX, INT32_MAX, INT32_MAX, BLEMISH_PLANAR_RGB8},
                                       {WIDTH, HEIGHT, 0, 0}};
    for (size_t at = 0; at < sizeof wrong / sizeof *wrong; at++) {
        blemish_status status = blemish_score_simple(detector, rgb, wrong[at][0], wrong[at][1], wrong[at][2], wrong[at][3],
                                                     &score, NULL, NULL, NULL, 0, NULL, NULL, message, sizeof message);
        CHECK((status == BLEMISH_USAGE || status == BLEMISH_INPUT) && score == 42 && message[0] != 0);
    }
    /* Cut at every length, always ended, never beyond, never within a character. */
    char whole[400];
    blemish_score_simple(detector, rgb, -1, HEIGHT, 0, BLEMISH_RGB8, &score, NULL, NULL, NULL, 0, NULL, NULL, whole,
                         sizeof whole);
    for (int32_t room = 0; room < (int32_t)strlen(whole) + 2; room++) {
        memset(message, 'x', sizeof message);
        blemish_score_simple(detector, rgb, -1, HEIGHT, 0, BLEMISH_RGB8, &score, NULL, NULL, NULL, 0, NULL, NULL, message, room);
        CHECK(message[room] == 'x');
        CHECK(room == 0 || (strlen(message) < (size_t)room && strncmp(message, whole, strlen(message)) == 0));
    }
    blemish_score_simple(detector, rgb, -1, HEIGHT, 0, BLEMISH_RGB8, &score, NULL, NULL, NULL, 0, NULL, NULL, message, -7);
}

int main(int count, char **arguments) {
    CHECK(count == 2);
    detector = load(arguments[1], 1);
    paint(rgb, WIDTH, HEIGHT, 1);
    images();
    sizes();
    models(arguments[1]);
    simple();
    blemish_detector_free(NULL);
    blemish_result_free(NULL);
    blemish_error_free(NULL);
    blemish_image image = good();
    blemish_result *result = NULL;
    FINE(blemish_score(detector, &image, NULL, &result, &error));
    CHECK(blemish_result_map(result, NULL, NULL) == NULL);
    blemish_result_free(result);
    blemish_detector_free(detector);
    puts("done");
    return 0;
}
