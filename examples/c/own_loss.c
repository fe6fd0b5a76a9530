/*
 * A loss of one's own: log-cosh Dice, ln cosh of the mean soft Dice loss, from the sums of a soft Dice term.
 *
 *   cc -std=c99 -O2 examples/c/own_loss.c $(pkg-config --cflags --libs dice) -lm -o own_loss && ./own_loss
 *
 * Prints the loss over 20 steps of gradient descent on the logits themselves, and compares the gradient with differences of values.
 */
#include <dice.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { N = 2, C = 3, V = 64, WORDS = N * (2 + 3 * C) * 12, COTANGENT = N * C * 3 };

static double logits[N * C * V], gradient[N * C * V];
static uint8_t labels[N * V];

/* Ends the program if a call of the library failed. */
static void must(dice_status status) {
    if (status == DICE_OK) return;
    fprintf(stderr, "own_loss: %s\n", dice_last_error());
    exit(1);
}

/* The loss; its gradient too unless to is NULL. */
static double own_loss(const dice_tensor *z, const dice_problem *problem, const dice_tensor *to) {
    static int64_t table[WORDS];
    const dice_term sums = {.kind = DICE_SOFT_DICE}; /* asks for T, S and I under a softmax */
    const dice_loss loss = {sizeof loss, sizeof sums, &sums, 1};
    double cotangent[COTANGENT] = {0.0}, mean = 0.0, slope;
    int64_t n, c;
    must(dice_statistics(z, problem, &loss, table, WORDS)); /* step 1 */
    for (n = 0; n < N; n++) {                               /* step 2: L = mean of 1 - 2I / (S + T), and dL/dI and dL/dS */
        for (c = 0; c < C; c++) {
            double T, S, I;
            size_t by_I, by_S;
            must(dice_statistics_sum(&loss, table, WORDS, N, C, n, c, 0, DICE_SUM_TARGET, &T));
            must(dice_statistics_sum(&loss, table, WORDS, N, C, n, c, 0, DICE_SUM_PREDICTION, &S));
            must(dice_statistics_sum(&loss, table, WORDS, N, C, n, c, 0, DICE_SUM_INTERSECTION, &I));
            must(dice_cotangent_index(&loss, C, n, c, 0, DICE_SUM_INTERSECTION, &by_I));
            must(dice_cotangent_index(&loss, C, n, c, 0, DICE_SUM_PREDICTION, &by_S));
            mean += (1.0 - 2.0 * I / (S + T)) / (N * C);
            cotangent[by_I] = -2.0 / (S + T) / (N * C);
            cotangent[by_S] = 2.0 * I / ((S + T) * (S + T)) / (N * C);
        }
    }
    slope = tanh(mean); /* of ln cosh */
    if (to != NULL) must(dice_pullback(z, problem, &loss, cotangent, COTANGENT, &slope, 1, DICE_OVERWRITE, to)); /* step 3 */
    return log(cosh(mean));
}

int main(void) {
    const int64_t shape[] = {N, C, V}, label_shape[] = {N, V};
    const dice_tensor z = dice_f64(logits, 3, shape), g = dice_f64(gradient, 3, shape), y = dice_u8(labels, 2, label_shape);
    const double h = 1e-5;
    dice_problem problem = DICE_PROBLEM_INIT;
    double first = 0.0, last = 0.0, worst = 0.0;
    int i, step;
    problem.target = &y;
    for (i = 0; i < N * V; i++) labels[i] = (uint8_t)(i * 7 / 3 % C);
    for (i = 0; i < N * C * V; i++) logits[i] = 0.5 * sin(1.0 + 3.0 * i);
    for (step = 0; step < 20; step++) {
        last = own_loss(&z, &problem, &g);
        if (step == 0) first = last;
        for (i = 0; i < N * C * V; i++) logits[i] -= 100.0 * gradient[i];
        printf("step %2d: %.6f\n", step, last);
    }
    own_loss(&z, &problem, &g);
    for (i = 0; i < N * C * V; i++) {
        const double kept = logits[i];
        double above, below;
        logits[i] = kept + h, above = own_loss(&z, &problem, NULL);
        logits[i] = kept - h, below = own_loss(&z, &problem, NULL);
        logits[i] = kept;
        worst = fmax(worst, fabs((above - below) / (2.0 * h) - gradient[i]));
    }
    printf("the gradient is that of the values within %.1e\n", worst);
    return last < 0.5 * first && worst < 1e-8 ? 0 : 1;
}
