/* score MODEL IMAGE...: says of every image what a line program needs to know.
 *
 *     cc -std=c99 score.c $(pkg-config --cflags --libs blemish) -o score
 *     ./score part.blemish new/*.png */
#include <blemish.h>
#include <stdio.h>
#include <string.h>

/* Says what went wrong and how to mend it; frees the error. */
static int complain(blemish_status status, blemish_error *error) {
    fprintf(stderr, "error %d (%s): %s\n", (int)status, blemish_error_code(error), blemish_error_message(error));
    if (blemish_error_help(error)[0]) fprintf(stderr, "  help: %s\n", blemish_error_help(error));
    blemish_error_free(error);
    return 1;
}

int main(int count, char **arguments) {
    if (count < 3) {
        fprintf(stderr, "usage: score MODEL IMAGE...\n");
        return 2;
    }
    if (blemish_abi_version() != BLEMISH_ABI_VERSION) {
        fprintf(stderr, "libblemish %s has another interface than this program\n", blemish_version());
        return 2;
    }
    blemish_error *error = NULL;
    blemish_detector *detector = NULL;
    blemish_status status = blemish_load(arguments[1], NULL, &detector, &error);
    if (status != BLEMISH_OK) return complain(status, error);

    int failed = 0;
    for (int at = 2; at < count; at++) {
        blemish_result *result = NULL;
        status = blemish_score_file(detector, arguments[at], NULL, &result, &error);
        if (status != BLEMISH_OK) {
            failed = complain(status, error);
            continue;
        }
        double p_value;
        printf("%s: score %.4f", arguments[at], (double)blemish_result_score(result));
        if (blemish_result_p_value(result, &p_value)) printf(", p %.3f", p_value);
        int anomalous = blemish_result_anomalous(result);
        printf(", %s\n", anomalous < 0 ? "no threshold" : anomalous ? "ANOMALOUS" : "good");
        for (size_t number = 0; number < blemish_result_region_count(result); number++) {
            blemish_region region;
            memset(&region, 0, sizeof region);
            region.struct_size = sizeof region;
            if (blemish_result_region(result, number, &region) == BLEMISH_OK) {
                printf("  at (%u, %u), %u x %u pixels\n", region.x, region.y, region.width, region.height);
            }
        }
        blemish_result_free(result);
    }
    blemish_detector_free(detector);
    return failed;
}
