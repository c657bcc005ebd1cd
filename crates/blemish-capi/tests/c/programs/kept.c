/* kept MODEL IMAGE: what the caller gave is gone right after the call; nothing of it is looked at again. */
#include "common.h"

#include <sys/mman.h>

/* Memory that can be taken away, so that looking at it ends the program. */
static void *mapped(size_t length) {
    void *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    return memory;
}

static void *mapped_file(const char *path, size_t *length) {
    void *bytes = slurp(path, length), *memory = mapped(*length);
    memcpy(memory, bytes, *length);
    free(bytes);
    return memory;
}

int main(int count, char **arguments) {
    CHECK(count == 3);
    size_t model_length, file_length, pixel_length = 3 * 48 * 40;
    void *model = mapped_file(arguments[1], &model_length);
    void *file = mapped_file(arguments[2], &file_length);
    blemish_load_options *running = mapped(4096);
    running->struct_size = sizeof *running;
    running->threads = 2;
    running->engine = strcpy((char *)running + 1024, "native");
    blemish_detector *detector = NULL;
    FINE(blemish_load_bytes(model, model_length, running, &detector, &error));
    CHECK(munmap(model, model_length) == 0 && munmap(running, 4096) == 0);

    blemish_score_options *options = mapped(4096);
    options->struct_size = sizeof *options;
    options->want_map = 1;
    options->category = strcpy((char *)options + 1024, "part");
    volatile int32_t *cancel = (volatile int32_t *)((char *)options + 2048);
    options->cancel = cancel;
    blemish_result *encoded = NULL, *pixels = NULL;
    FINE(blemish_score_encoded(detector, file, file_length, options, &encoded, &error));
    CHECK(munmap(file, file_length) == 0);
    unsigned char *rgb = mapped(pixel_length);
    paint(rgb, 48, 40, 3);
    blemish_image *image = mapped(4096);
    *image = image_of(BLEMISH_RGB8, 48, 40, 0, rgb);
    FINE(blemish_score(detector, image, options, &pixels, &error));
    CHECK(munmap(rgb, pixel_length) == 0 && munmap(image, 4096) == 0 && munmap(options, 4096) == 0);

    FINE(blemish_verify(detector, NULL, &error));
    blemish_detector_free(detector);
    /* Results outlive their detector. */
    for (int at = 0; at < 2; at++) {
        blemish_result *result = at ? encoded : pixels;
        uint32_t height, width;
        const float *map = blemish_result_map(result, &height, &width);
        float most = map[0];
        for (size_t cell = 0; cell < (size_t)height * width; cell++) most = map[cell] > most ? map[cell] : most;
        CHECK(isfinite(most) && strlen(blemish_result_json(result)) > 10);
        blemish_result_free(result);
    }
    puts("done");
    return 0;
}
