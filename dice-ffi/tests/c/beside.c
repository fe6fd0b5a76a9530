/* libdice.a beside another static library that brings Rust's standard library along: other.rs. */
#include "check.h"

int32_t other_half(int32_t number);

int main(void) {
    CHECK(other_half(6) == 3);
    CHECK(other_half(7) == -1);
    double volumes[] = {4.0, 1.0}, weights[2];
    OK(dice_class_weights_from_volumes(volumes, 2, DICE_INVERSE, weights));
    CHECK(weights[1] == 4.0 * weights[0]);
    STATUS(DICE_NULL_POINTER, dice_version() == DICE_VERSION_NUMBER ? dice_statistics_merge(NULL, 4, NULL, 4) : DICE_OK);
    return report("beside");
}
