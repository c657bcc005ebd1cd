/* locale MODEL IMAGE LOCALE...: the JSON is the same whatever the program's locale, which stays as it is. */
#include "common.h"

#include <locale.h>

int main(int count, char **arguments) {
    CHECK(count > 3);
    const char *found = NULL;
    for (int at = 3; at < count && !found; at++) found = setlocale(LC_ALL, arguments[at]);
    if (!found) {
        puts("no such locale");
        return 0;
    }
    char number[32], name[64];
    snprintf(number, sizeof number, "%.1f", 0.5);
    snprintf(name, sizeof name, "%s", found);
    CHECK(number[1] == ',');
    blemish_detector *detector = load(arguments[1], 0);
    blemish_result *result = NULL;
    FINE(blemish_score_file(detector, arguments[2], NULL, &result, &error));
    puts(blemish_result_json(result));
    CHECK(strcmp(setlocale(LC_ALL, NULL), name) == 0);
    blemish_result_free(result);
    blemish_detector_free(detector);
    return 0;
}
