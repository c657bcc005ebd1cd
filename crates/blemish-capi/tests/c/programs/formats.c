/* formats MODEL GREY8.png GREY16.png FLOAT.tiff WIDTH HEIGHT SAMPLES: the same picture in every format has the same score and map.
 *
 * SAMPLES holds the grey picture of WIDTH x HEIGHT as 16-bit samples; the files hold it at their depths. */
#include "common.h"

static blemish_detector *detector;

/* What is compared: the bits of the score and of the map. */
typedef struct {
    uint32_t score;
    float *map;
    size_t size;
} outcome;

static outcome taken(blemish_result *result) {
    uint32_t height, width;
    const float *map = blemish_result_map(result, &height, &width);
    outcome all = {bits(blemish_result_score(result)), NULL, (size_t)height * width * sizeof *map};
    all.map = malloc(all.size);
    memcpy(all.map, map, all.size);
    blemish_result_free(result);
    return all;
}

static const blemish_score_options *with_map(void) {
    static blemish_score_options options;
    options.struct_size = sizeof options;
    options.want_map = 1;
    return &options;
}

static outcome of_image(blemish_image image) {
    blemish_result *result = NULL;
    FINE(blemish_score(detector, &image, with_map(), &result, &error));
    return taken(result);
}

static outcome of_file(const char *path) {
    blemish_result *result = NULL;
    FINE(blemish_score_file(detector, path, with_map(), &result, &error));
    return taken(result);
}

static void same(outcome one, outcome wanted, const char *what) {
    if (one.score != wanted.score || one.size != wanted.size || memcmp(one.map, wanted.map, one.size) != 0) {
        fprintf(stderr, "%s: score %08" PRIx32 ", not %08" PRIx32 "\n", what, one.score, wanted.score);
        exit(1);
    }
    free(one.map);
}

/* Scores by the call without structs. */
static void simple(const void *pixels, int32_t width, int32_t height, int32_t stride, int32_t format, outcome wanted) {
    double score = 0, p_value = 0;
    int32_t anomalous = 0, map_height = 0, map_width = 0;
    float *map = malloc(wanted.size);
    char message[200];
    blemish_status status =
        blemish_score_simple(detector, pixels, width, height, stride, format, &score, &p_value, &anomalous, map,
                             (int32_t)(wanted.size / sizeof *map), &map_height, &map_width, message, sizeof message);
    if (status != BLEMISH_OK) fprintf(stderr, "%s\n", message);
    CHECK(status == BLEMISH_OK && message[0] == 0 && bits((float)score) == wanted.score);
    CHECK((size_t)map_height * (size_t)map_width * sizeof *map == wanted.size && memcmp(map, wanted.map, wanted.size) == 0);
    free(map);
}

int main(int count, char **arguments) {
    CHECK(count == 8);
    detector = load(arguments[1], 0);
    uint32_t width = (uint32_t)atoi(arguments[5]), height = (uint32_t)atoi(arguments[6]);
    size_t length, pixels = (size_t)width * height;
    unsigned char *file = slurp(arguments[7], &length);
    CHECK(length == 2 * pixels);
    uint16_t *wide = malloc(length);
    memcpy(wide, file, length);
    free(file);

    /* Grey of 8, 16 and 32 bit against files of that depth. */
    unsigned char *grey = malloc(pixels);
    float *real = malloc(pixels * sizeof *real);
    uint16_t *wide_rgb = malloc(6 * pixels);
    float *real_rgb = malloc(12 * pixels);
    for (size_t at = 0; at < pixels; at++) {
        grey[at] = (unsigned char)(wide[at] >> 8);
        real[at] = (float)wide[at] / 65535.0f;
        for (int channel = 0; channel < 3; channel++) {
            wide_rgb[3 * at + (size_t)channel] = wide[at];
            real_rgb[3 * at + (size_t)channel] = real[at];
        }
    }
    outcome wanted = of_file(arguments[2]), wanted_wide = of_file(arguments[3]), wanted_real = of_file(arguments[4]);
    CHECK(wanted.score != wanted_wide.score);
    same(of_image(image_of(BLEMISH_GREY8, width, height, 0, grey)), wanted, "grey8");
    same(of_image(image_of(BLEMISH_GREY16, width, height, 0, wide)), wanted_wide, "grey16");
    same(of_image(image_of(BLEMISH_RGB16, width, height, 0, wide_rgb)), wanted_wide, "rgb16");
    same(of_image(image_of(BLEMISH_GREY32F, width, height, 0, real)), wanted_real, "grey32f");
    same(of_image(image_of(BLEMISH_RGB32F, width, height, 0, real_rgb)), wanted_real, "rgb32f");
    blemish_image planar = image_of(BLEMISH_PLANAR_RGB16, width, height, 0, wide);
    planar.planes[1] = planar.planes[2] = wide;
    same(of_image(planar), wanted_wide, "planar rgb16");
    simple(grey, (int32_t)width, (int32_t)height, 0, BLEMISH_GREY8, wanted);
    simple(wide, (int32_t)width, (int32_t)height, (int32_t)width * 2, BLEMISH_GREY16, wanted_wide);

    /* Colours: four orders and three planes, each with rows that lie apart and as a rectangle of a larger picture. */
    unsigned char *rgb = malloc(3 * pixels);
    paint(rgb, width, height, 5);
    outcome colours = of_image(image_of(BLEMISH_RGB8, width, height, 0, rgb));
    static const struct {
        int32_t format;
        size_t bytes, place[3];
    } orders[] = {{BLEMISH_RGB8, 3, {0, 1, 2}},
                  {BLEMISH_BGR8, 3, {2, 1, 0}},
                  {BLEMISH_RGBA8, 4, {0, 1, 2}},
                  {BLEMISH_BGRA8, 4, {2, 1, 0}}};
    for (size_t order = 0; order < sizeof orders / sizeof *orders; order++) {
        size_t bytes = orders[order].bytes, left = 7, above = 3, stride = (width + 12) * bytes + 5;
        size_t all = (height + 8) * stride;
        unsigned char *larger = malloc(all);
        memset(larger, 0xA5, all);
        unsigned char *corner = larger + above * stride + left * bytes;
        for (uint32_t y = 0; y < height; y++) {
            for (uint32_t x = 0; x < width; x++) {
                for (size_t channel = 0; channel < 3; channel++) {
                    corner[y * stride + x * bytes + orders[order].place[channel]] = rgb[3 * (y * width + x) + channel];
                }
            }
        }
        same(of_image(image_of(orders[order].format, width, height, stride, corner)), colours, "rectangle");
        simple(corner, (int32_t)width, (int32_t)height, (int32_t)stride, orders[order].format, colours);
        free(larger);
    }
    /* Each plane in memory of its own, which ends with the last row's last pixel. */
    size_t stride = width + 3, plane = (height - 1) * stride + width;
    blemish_image apart = image_of(BLEMISH_PLANAR_RGB8, width, height, stride, NULL);
    unsigned char *planes[3], *following = malloc(3 * height * stride);
    for (size_t channel = 0; channel < 3; channel++) {
        planes[channel] = malloc(plane);
        for (uint32_t y = 0; y < height; y++) {
            for (uint32_t x = 0; x < width; x++) {
                planes[channel][y * stride + x] = rgb[3 * (y * width + x) + channel];
                following[(channel * height + y) * stride + x] = rgb[3 * (y * width + x) + channel];
            }
        }
        apart.planes[channel] = planes[channel];
    }
    same(of_image(apart), colours, "three planes");
    simple(following, (int32_t)width, (int32_t)height, (int32_t)stride, BLEMISH_PLANAR_RGB8, colours);

    for (size_t channel = 0; channel < 3; channel++) free(planes[channel]);
    free(following), free(rgb), free(grey), free(real), free(wide), free(wide_rgb), free(real_rgb);
    free(wanted.map), free(wanted_wide.map), free(wanted_real.map), free(colours.map);
    blemish_detector_free(detector);
    puts("done");
    return 0;
}
