/* The sentence of the last failure: at the same place as long as its thread lives, of bounded length, and of this thread alone. */
#include "check.h"

#include <pthread.h>

enum { LONG = 1 << 20 };

static const char *fail(int32_t threads) {
    STATUS(DICE_INVALID_ARGUMENT, dice_set_num_threads(threads));
    return dice_last_error();
}

static void *elsewhere(void *place) {
    const char **of_thread = (const char **)place;
    CHECK(dice_last_error()[0] == '\0');
    *of_thread = fail(-3);
    CHECK(strstr(*of_thread, "-3") != NULL);
    return NULL;
}

int main(void) {
    static char name[LONG + 1];
    const char *of_thread = NULL;
    dice_error error = DICE_ERROR_INIT;
    dice_term term;
    size_t num = 0;
    pthread_t thread;

    /* None yet. */
    const char *first = dice_last_error();
    CHECK(first != NULL && first[0] == '\0');
    OK(dice_error_info(&error));
    CHECK(error.status == DICE_OK && error.index == -1 && error.found == -1 && error.expected == -1);

    /* Another failure takes its place; a success and a look at it do not. */
    CHECK(fail(-1) == first && strstr(first, "-1") != NULL);
    CHECK(fail(-22) == first && strstr(first, "-22") != NULL);
    OK(dice_set_num_threads(0));
    OK(dice_error_info(&error));
    CHECK(dice_last_error() == first && strstr(first, "-22") != NULL);
    CHECK(error.status == DICE_INVALID_ARGUMENT && error.found == -22);

    /* Whatever the caller names is cut. */
    memset(name, 'x', LONG);
    STATUS(DICE_INVALID_ARGUMENT, dice_loss_preset(name, sizeof term, &term, 1, &num));
    CHECK(strlen(first) < 2000 && strstr(first, "xxxx") != NULL && strstr(first, "...") != NULL);
    STATUS(DICE_INVALID_ARGUMENT, dice_loss_preset("a\"\xff\n", sizeof term, &term, 1, &num));
    CHECK(strstr(first, "\n") == NULL && strstr(first, "default") != NULL);

    /* Another thread has its own. */
    if (CHECK(pthread_create(&thread, NULL, elsewhere, (void *)&of_thread) == 0)) CHECK(pthread_join(thread, NULL) == 0);
    CHECK(of_thread != first && strstr(first, "default") != NULL);
    return report("last_error");
}
