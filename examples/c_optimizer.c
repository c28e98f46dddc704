// A training engine in plain C that leaves its update to an optimizer of gradstab.
//
// A linear model learns a linear function by AdamW, once as it is and once behind stabilize; one batch
// explodes, as a bad sample or a fault would make it. AdamW's second moments remember the explosion for the
// rest of the run; behind stabilize nothing of it reaches them. The state goes to a file on the way, and a
// second run picks up from there: it must end with the same bits. Exits with 1 if anything is not as it
// should be.
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gradstab/optimizer.h"

enum { INPUTS = 8, OUTPUTS = 3, BATCH = 16, STEPS = 400, EXPLOSION = 50, CHECKPOINT = 250 };
enum { WEIGHT, BIAS, PARAMETERS };

typedef struct {
  float weight[OUTPUTS][INPUTS];
  float bias[OUTPUTS];
} model;

static const int64_t weight_sizes[] = {OUTPUTS, INPUTS}, bias_sizes[] = {OUTPUTS};
static const gradstab_parameter parameters[PARAMETERS] = {
    {"linear.weight", 2, weight_sizes},
    {"linear.bias", 1, bias_sizes},
};

static void fail(const char* what, const gradstab_optimizer* optimizer) {
  fprintf(stderr, "c_optimizer: %s: %s\n", what, gradstab_optimizer_last_error(optimizer));
  exit(1);
}

// A number in [-1, 1) from its counter alone, so that a resumed run sees the same data.
static float uniform(uint64_t counter) {
  uint64_t x = (counter + 1) * 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return (float)((double)((x ^ (x >> 31)) >> 40) / (double)(1 << 23) - 1.0);
}

// Mean squared error over the batch of this step, and its gradient.
static float loss_and_gradient(const model* net, int step, model* gradient) {
  const float fault = step == EXPLOSION ? 1e5f : 1.0f;
  float loss = 0;
  memset(gradient, 0, sizeof *gradient);
  for (int sample = 0; sample < BATCH; ++sample) {
    float x[INPUTS];
    for (int i = 0; i < INPUTS; ++i) x[i] = uniform((uint64_t)((step * BATCH + sample) * INPUTS + i));
    for (int o = 0; o < OUTPUTS; ++o) {
      float error = net->bias[o] - fault * (float)(o + 1) / OUTPUTS;
      for (int i = 0; i < INPUTS; ++i)
        error += (net->weight[o][i] - fault * uniform(1000000 + (uint64_t)(o * INPUTS + i))) * x[i];
      loss += error * error / (BATCH * OUTPUTS);
      for (int i = 0; i < INPUTS; ++i) gradient->weight[o][i] += 2 * error * x[i] / (BATCH * OUTPUTS);
      gradient->bias[o] += 2 * error / (BATCH * OUTPUTS);
    }
  }
  return loss;
}

// AdamW with weight decay only for the matrix; behind stabilize, or not.
static gradstab_optimizer* make_optimizer(int stabilized) {
  gradstab_transform* transform = NULL;
  gradstab_optimizer* optimizer;
  gradstab_stabilizer_options robust;
  gradstab_adam_options decayed, plain;
  if (gradstab_adam_options_init(&decayed, sizeof decayed, GRADSTAB_PRESET_ADAMW) != GRADSTAB_OK)
    fail("gradstab_adam_options_init", NULL);
  decayed.weight_decay = 1e-3;
  plain = decayed;
  plain.weight_decay = 0;
  if (stabilized) {
    if (gradstab_stabilizer_options_init(&robust, sizeof robust, GRADSTAB_PRESET_ROBUST) != GRADSTAB_OK)
      fail("gradstab_stabilizer_options_init", NULL);
    if (gradstab_stabilize(&robust, NULL, &transform) != GRADSTAB_OK) fail("gradstab_stabilize", NULL);
  }
  if (gradstab_adam(&decayed, transform, &optimizer) != GRADSTAB_OK) {
    gradstab_destroy(transform);  // still ours, because the maker failed
    fail("gradstab_adam", NULL);
  }
  const size_t matrices[] = {WEIGHT}, others[] = {BIAS};
  const gradstab_optimizer_group groups[] = {{&decayed.base, matrices, 1}, {&plain.base, others, 1}};
  if (gradstab_optimizer_init(optimizer, parameters, PARAMETERS, NULL, groups, 2) != GRADSTAB_OK)
    fail("gradstab_optimizer_init", optimizer);
  return optimizer;
}

// Steps first to last; saves the state and the model at the checkpoint on the way. Returns the last loss.
static float train(model* net, gradstab_optimizer* optimizer, int first, int last, const char* file,
                   model* at_checkpoint) {
  model gradient;
  void* const values[PARAMETERS] = {net->weight, net->bias};
  void* const gradients[PARAMETERS] = {gradient.weight, gradient.bias};
  float loss = 0;
  for (int step = first; step <= last; ++step) {
    gradstab_step_report report = {.struct_size = sizeof report};
    loss = loss_and_gradient(net, step, &gradient);
    if (gradstab_optimizer_set_lr(optimizer, 0.1 * (1 - (double)step / (STEPS + 1))) != GRADSTAB_OK)
      fail("gradstab_optimizer_set_lr", optimizer);
    if (gradstab_optimizer_step_pointers(optimizer, values, gradients, PARAMETERS, GRADSTAB_FLOAT32,
                                         GRADSTAB_FLOAT32, step, &report) != GRADSTAB_OK)
      fail("gradstab_optimizer_step_pointers", optimizer);
    if (step == EXPLOSION) printf("  norm %.2g -> %.2g", report.raw_global_norm, report.global_norm);
    if (step == CHECKPOINT && at_checkpoint != NULL) {
      if (gradstab_optimizer_save_file(optimizer, file) != GRADSTAB_OK)
        fail("gradstab_optimizer_save_file", optimizer);
      *at_checkpoint = *net;
    }
  }
  printf("  loss %.2g\n", (double)loss);
  return loss;
}

static int same_state(const gradstab_optimizer* a, const gradstab_optimizer* b) {
  void *bytes_a, *bytes_b;
  size_t size_a, size_b;
  if (gradstab_optimizer_save(a, &bytes_a, &size_a) != GRADSTAB_OK) fail("gradstab_optimizer_save", a);
  if (gradstab_optimizer_save(b, &bytes_b, &size_b) != GRADSTAB_OK) fail("gradstab_optimizer_save", b);
  const int same = size_a == size_b && memcmp(bytes_a, bytes_b, size_a) == 0;
  gradstab_free(bytes_a);
  gradstab_free(bytes_b);
  return same;
}

int main(int count, char** arguments) {
  const char* file = count > 1 ? arguments[1] : "c_optimizer.gradstab";
  float loss[2];
  model nets[2], resumed;
  gradstab_optimizer* optimizers[2];
  memset(nets, 0, sizeof nets);
  for (int stabilized = 0; stabilized < 2; ++stabilized) {
    const char* name;
    gradstab_optimizer* const optimizer = optimizers[stabilized] = make_optimizer(stabilized);
    if (gradstab_optimizer_name(optimizer, &name) != GRADSTAB_OK) fail("gradstab_optimizer_name", optimizer);
    printf("%s:", name);
    loss[stabilized] = train(&nets[stabilized], optimizer, 1, STEPS, file, &resumed);
  }

  printf("resumed at step %d:", CHECKPOINT);
  gradstab_optimizer* second = make_optimizer(1);
  if (gradstab_optimizer_load_file(second, file) != GRADSTAB_OK) fail("gradstab_optimizer_load_file", second);
  train(&resumed, second, CHECKPOINT + 1, STEPS, file, NULL);
  const int same = memcmp(&nets[1], &resumed, sizeof resumed) == 0 && same_state(optimizers[1], second);
  printf("resumed run: %s\n", same ? "the same weights and state" : "DIFFERENT");

  gradstab_optimizer_destroy(optimizers[0]);
  gradstab_optimizer_destroy(optimizers[1]);
  gradstab_optimizer_destroy(second);
  remove(file);
  return same && isfinite(loss[1]) && loss[1] < 1e-3f && loss[1] < 0.01f * loss[0] ? 0 : 1;
}
