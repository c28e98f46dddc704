// A training engine in plain C that stabilizes its gradients through the C interface of gradstab.
//
// A two-layer tanh network learns a smooth function by SGD. One batch explodes, as a bad sample or a fault
// would make it. The state goes to a file after two thirds of the run, and a second run picks up from there:
// it must end with the same bits. Exits with 1 if anything is not as it should be.
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gradstab/gradstab.h"

enum { INPUTS = 4, HIDDEN = 16, BATCH = 32, STEPS = 600, CHECKPOINT = 400, EXPLOSION = 300 };
enum { W1, B1, W2, B2, PARAMETERS };

typedef struct {
  float w1[HIDDEN][INPUTS];
  float b1[HIDDEN];
  float w2[HIDDEN];
  float b2[1];
} network;

static const int64_t w1_sizes[] = {HIDDEN, INPUTS}, hidden_sizes[] = {HIDDEN}, one_size[] = {1};
static const gradstab_parameter parameters[PARAMETERS] = {
    {"hidden.weight", 2, w1_sizes},
    {"hidden.bias", 1, hidden_sizes},
    {"output.weight", 1, hidden_sizes},
    {"output.bias", 1, one_size},
};

static void fail(const char* what, const gradstab_transform* transform) {
  fprintf(stderr, "c_engine: %s: %s\n", what, gradstab_last_error(transform));
  exit(1);
}

// A number in [-1, 1) from its counter alone, so that a resumed run sees the same data.
static float uniform(uint64_t counter) {
  uint64_t x = (counter + 1) * 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return (float)((double)((x ^ (x >> 31)) >> 40) / (double)(1 << 23) - 1.0);
}

static void start(network* net) {
  memset(net, 0, sizeof *net);
  for (int h = 0; h < HIDDEN; ++h) {
    for (int i = 0; i < INPUTS; ++i) net->w1[h][i] = 0.5f * uniform(1000000 + (uint64_t)(h * INPUTS + i));
    net->w2[h] = 0.25f * uniform(2000000 + (uint64_t)h);
  }
}

// Mean squared error over the batch of this step, and its gradient.
static float loss_and_gradient(const network* net, int step, network* gradient) {
  float loss = 0;
  memset(gradient, 0, sizeof *gradient);
  for (int sample = 0; sample < BATCH; ++sample) {
    float x[INPUTS], hidden[HIDDEN], sum = 0, output = net->b2[0];
    for (int i = 0; i < INPUTS; ++i) {
      x[i] = uniform((uint64_t)((step * BATCH + sample) * INPUTS + i));
      sum += x[i];
    }
    const float target = sinf(sum) * (step == EXPLOSION ? 1e6f : 1.0f);
    for (int h = 0; h < HIDDEN; ++h) {
      float before = net->b1[h];
      for (int i = 0; i < INPUTS; ++i) before += net->w1[h][i] * x[i];
      hidden[h] = tanhf(before);
      output += net->w2[h] * hidden[h];
    }
    const float error = output - target;
    loss += error * error / BATCH;
    const float d_output = 2 * error / BATCH;
    gradient->b2[0] += d_output;
    for (int h = 0; h < HIDDEN; ++h) {
      const float d_before = d_output * net->w2[h] * (1 - hidden[h] * hidden[h]);
      gradient->w2[h] += d_output * hidden[h];
      gradient->b1[h] += d_before;
      for (int i = 0; i < INPUTS; ++i) gradient->w1[h][i] += d_before * x[i];
    }
  }
  return loss;
}

// A learning rate that ends at 0; stabilized gradients have norms near 1 however small the loss is.
static void descend(network* net, const network* gradient, int step) {
  const float rate = 0.05f * (1 - (float)step / (STEPS + 1));
  float* weights = (float*)net;
  const float* slopes = (const float*)gradient;
  for (size_t i = 0; i < sizeof *net / sizeof(float); ++i) weights[i] -= rate * slopes[i];
}

// With robust moments: the exploding batch then leaves nothing behind.
static void choose_settings(gradstab_stabilizer_options* options) {
  if (gradstab_stabilizer_options_init(options, sizeof *options, GRADSTAB_PRESET_ROBUST) != GRADSTAB_OK)
    fail("gradstab_stabilizer_options_init", NULL);
}

static gradstab_transform* make_transform(void) {
  gradstab_stabilizer_options options;
  gradstab_transform* transform;
  choose_settings(&options);
  if (gradstab_stabilize(&options, NULL, &transform) != GRADSTAB_OK) fail("gradstab_stabilize", NULL);
  if (gradstab_init(transform, parameters, PARAMETERS, NULL) != GRADSTAB_OK) fail("gradstab_init", transform);
  return transform;
}

// Steps first to last; saves the state and the network at the checkpoint on the way. Returns the last loss.
static float train(network* net, gradstab_transform* transform, int first, int last, const char* file,
                   network* at_checkpoint) {
  gradstab_stabilizer_options options;
  network gradient;
  void* const gradients[PARAMETERS] = {gradient.w1, gradient.b1, gradient.w2, gradient.b2};
  float loss = 0;
  choose_settings(&options);
  for (int step = first; step <= last; ++step) {
    gradstab_step_report report = {.struct_size = sizeof report};
    double bound;
    loss = loss_and_gradient(net, step, &gradient);
    if (gradstab_update_pointers(transform, gradients, PARAMETERS, GRADSTAB_FLOAT32, step, &report) !=
        GRADSTAB_OK)
      fail("gradstab_update_pointers", transform);
    descend(net, &gradient, step);

    if (!isfinite(loss)) fail("the loss is not finite", transform);
    if (gradstab_step_bound(&options, step, &bound) != GRADSTAB_OK) fail("gradstab_step_bound", NULL);
    for (size_t t = 0; t < report.tensor_count; ++t) {
      if (!(report.tensors[t].norm <= bound * (1 + 1e-12)))
        fail("a stabilized norm exceeds its bound", transform);
    }
    if (step % 100 == 0)
      printf("%4d  %11.4g  %11.4g  %8.3f  %6zu\n", step, (double)loss, report.raw_global_norm,
             report.global_norm, report.spikes);
    if (step == CHECKPOINT && at_checkpoint != NULL) {
      if (gradstab_save_file(transform, file) != GRADSTAB_OK) fail("gradstab_save_file", transform);
      *at_checkpoint = *net;
    }
  }
  return loss;
}

static int same_state(const gradstab_transform* a, const gradstab_transform* b) {
  void *bytes_a, *bytes_b;
  size_t size_a, size_b;
  if (gradstab_save(a, &bytes_a, &size_a) != GRADSTAB_OK) fail("gradstab_save", a);
  if (gradstab_save(b, &bytes_b, &size_b) != GRADSTAB_OK) fail("gradstab_save", b);
  const int same = size_a == size_b && memcmp(bytes_a, bytes_b, size_a) == 0;
  gradstab_free(bytes_a);
  gradstab_free(bytes_b);
  return same;
}

int main(int count, char** arguments) {
  const char* file = count > 1 ? arguments[1] : "c_engine.gradstab";
  network net, resumed;
  start(&net);
  gradstab_transform* transform = make_transform();
  printf("step         loss     raw norm      norm  spikes\n");
  const float loss = train(&net, transform, 1, STEPS, file, &resumed);

  printf("resumed at step %d\n", CHECKPOINT);
  gradstab_transform* second = make_transform();
  if (gradstab_load_file(second, file) != GRADSTAB_OK) fail("gradstab_load_file", second);
  train(&resumed, second, CHECKPOINT + 1, STEPS, file, NULL);
  const int same = memcmp(&net, &resumed, sizeof net) == 0 && same_state(transform, second);
  printf("resumed run: %s\n", same ? "the same weights and state" : "DIFFERENT");

  gradstab_destroy(transform);
  gradstab_destroy(second);
  remove(file);
  return same && loss < 0.01f ? 0 : 1;
}
