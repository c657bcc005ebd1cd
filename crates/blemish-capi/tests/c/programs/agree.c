/* agree MODEL IMAGE...: what the library says of image files, as JSON, a line each. Files, their bytes and the model's bytes agree. */
#include "common.h"

int main(int count, char **arguments) {
    CHECK(count > 2 && blemish_abi_version() == BLEMISH_ABI_VERSION && strlen(blemish_version()) > 0);
    size_t length;
    unsigned char *model = slurp(arguments[1], &length);
    blemish_detector *detector = load(arguments[1], 0), *from_bytes = NULL;
    FINE(blemish_load_bytes(model, length, NULL, &from_bytes, &error));
    free(model);
    double difference = -1;
    FINE(blemish_verify(detector, &difference, &error));
    CHECK(difference == 0);
    blemish_score_options options;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.want_map = 1;
    for (int at = 2; at < count; at++) {
        blemish_result *result = NULL, *encoded = NULL;
        FINE(blemish_score_file(detector, arguments[at], &options, &result, &error));
        unsigned char *bytes = slurp(arguments[at], &length);
        FINE(blemish_score_encoded(from_bytes, bytes, length, &options, &encoded, &error));
        free(bytes);
        puts(blemish_result_json(result));

        uint32_t height = 0, width = 0;
        const float *map = blemish_result_map(result, &height, &width);
        CHECK(map && height > 0 && width > 0);
        size_t values = (size_t)height * width * sizeof *map;
        CHECK(memcmp(map, blemish_result_map(encoded, NULL, NULL), values) == 0);
        CHECK(bits(blemish_result_score(result)) == bits(blemish_result_score(encoded)));

        double p_value = -1, other = -1;
        CHECK(blemish_result_p_value(result, &p_value) == blemish_result_p_value(encoded, &other));
        CHECK(p_value == other && blemish_result_anomalous(result) == blemish_result_anomalous(encoded));
        size_t regions = blemish_result_region_count(result);
        CHECK(regions == blemish_result_region_count(encoded));
        for (size_t number = 0; number < regions; number++) {
            blemish_region region;
            memset(&region, 0, sizeof region);
            region.struct_size = sizeof region;
            CHECK(blemish_result_region(result, number, &region) == BLEMISH_OK && region.struct_size == sizeof region);
            fprintf(stderr, "region %u %u %u %u %.17g %.17g %u %u %.9g %.17g %.17g\n", region.x, region.y, region.width,
                    region.height, region.centroid_x, region.centroid_y, region.peak_x, region.peak_y,
                    (double)region.peak_score, region.area, region.mean_score);
        }
        blemish_region beyond;
        memset(&beyond, 0, sizeof beyond);
        beyond.struct_size = sizeof beyond;
        CHECK(blemish_result_region(result, regions, &beyond) == BLEMISH_USAGE);
        blemish_result_free(encoded);
        blemish_result_free(result);
    }
    blemish_detector_free(from_bytes);
    blemish_detector_free(detector);
    return 0;
}
