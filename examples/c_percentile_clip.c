// The method of percentile_clip.h in a chain, in an engine's own training loop, and saved in the middle.
#include <stdio.h>

#include "percentile_clip.h"

static void stop(const gradstab_transform* transform) {
  fprintf(stderr, "c_percentile_clip: %s\n", gradstab_last_error(transform));
  exit(1);
}

/// percentile_clip+record_norms, bound to the parameters.
static gradstab_transform* make(const gradstab_parameter* parameters) {
  gradstab_transform* links[2] = {NULL, NULL};
  gradstab_transform* transform = NULL;
  if (percentile_clip_make(50.0, &links[0]) != GRADSTAB_OK || gradstab_record_norms(4.0, NULL, &links[1]) ||
      gradstab_chain(links, 2, &transform))
    stop(NULL);
  if (gradstab_init(transform, parameters, 1, NULL)) stop(transform);
  return transform;
}

int main(void) {
  const int64_t sizes[] = {4};
  const gradstab_parameter parameter = {"weights", 1, sizes};
  gradstab_transform* transform = make(&parameter);
  float gradients[4];
  void* pointers[] = {gradients};
  int step, i;
  for (step = 1; step <= 6; ++step) {
    gradstab_step_report report = {.struct_size = sizeof report};
    for (i = 0; i < 4; ++i) gradients[i] = (step == 5 ? 1000.0f : (float)step) / 2.0f;
    if (gradstab_update_pointers(transform, pointers, 1, GRADSTAB_FLOAT32, step, &report)) stop(transform);
    printf("step %d  norm %g -> %g\n", step, report.raw_global_norm, report.global_norm);
    if (step == 3) {
      void* bytes;
      size_t size;
      if (gradstab_save(transform, &bytes, &size)) stop(transform);
      gradstab_destroy(transform);
      transform = make(&parameter);
      if (gradstab_load(transform, bytes, size)) stop(transform);
      gradstab_free(bytes);
    }
  }
  gradstab_destroy(transform);
  return 0;
}
