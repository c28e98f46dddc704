/// The method of percentile_clip.hpp as callbacks of the C interface: AutoClip (Seetharaman et al. 2020,
/// arXiv 2007.14469) clips the gradients of a model to a percentile of the norms that they have had so far.
#ifndef PERCENTILE_CLIP_H
#define PERCENTILE_CLIP_H

#include <gradstab/gradstab.h>
#include <stdlib.h>
#include <string.h>

typedef struct percentile_clip {
  double percentile;
  double* norms;  // in growing order
  size_t count;
  size_t capacity;
} percentile_clip;

static const char* percentile_clip_make_room(percentile_clip* clip, size_t count) {
  double* norms;
  if (count <= clip->capacity) return NULL;
  norms = (double*)realloc(clip->norms, 2 * count * sizeof *norms);
  if (norms == NULL) return "out of memory";
  clip->norms = norms;
  clip->capacity = 2 * count;
  return NULL;
}

static const char* percentile_clip_reset(size_t units, void* user) {
  (void)units;
  ((percentile_clip*)user)->count = 0;
  return NULL;
}

static const char* percentile_clip_decide(gradstab_unit_step* steps, size_t count, void* user) {
  percentile_clip* clip = (percentile_clip*)user;
  const char* error = percentile_clip_make_room(clip, clip->count + 1);
  size_t place = clip->count++;
  double position, limit;
  (void)count;  // one: the model
  if (error != NULL) return error;
  for (; place > 0 && clip->norms[place - 1] > steps->norm; --place)
    clip->norms[place] = clip->norms[place - 1];
  clip->norms[place] = steps->norm;
  position = clip->percentile / 100.0 * (double)(clip->count - 1);
  place = (size_t)position;
  limit = clip->norms[place];
  if (place + 1 < clip->count) limit += (position - (double)place) * (clip->norms[place + 1] - limit);
  steps->factor = limit < steps->norm + 1e-6 ? limit / (steps->norm + 1e-6) : 1.0;
  return NULL;
}

static size_t percentile_clip_save(size_t unit, double* values, size_t capacity, void* user) {
  const percentile_clip* clip = (const percentile_clip*)user;
  if (unit != GRADSTAB_NO_UNIT) return 0;
  if (clip->count > 0 && capacity >= clip->count) memcpy(values, clip->norms, clip->count * sizeof *values);
  return clip->count;
}

static const char* percentile_clip_load(size_t unit, const double* values, size_t count, int32_t version,
                                        void* user) {
  percentile_clip* clip = (percentile_clip*)user;
  const char* error = percentile_clip_make_room(clip, count);
  (void)version;  // there is only one so far
  if (error != NULL || unit != GRADSTAB_NO_UNIT) return error;
  if (count > 0) memcpy(clip->norms, values, count * sizeof *values);
  clip->count = count;
  return NULL;
}

static void percentile_clip_release(void* user) {
  free(((percentile_clip*)user)->norms);
  free(user);
}

/// Puts a new transform into *transform, which can do what those of the library can; gradstab_destroy frees
/// it.
static gradstab_status percentile_clip_make(double percentile, gradstab_transform** transform) {
  gradstab_norm_method method;
  gradstab_units model = {sizeof model, GRADSTAB_WHOLE_MODEL, 0, NULL, 0};
  gradstab_setting setting = {"percentile", 0.0, NULL};
  percentile_clip* clip = (percentile_clip*)calloc(1, sizeof *clip);
  gradstab_status status;
  if (clip == NULL) return GRADSTAB_OUT_OF_MEMORY;
  clip->percentile = setting.number = percentile;
  memset(&method, 0, sizeof method);
  method.struct_size = sizeof method;
  method.name = "percentile_clip";
  method.version = 1;
  method.units = &model;
  method.settings = &setting;
  method.setting_count = 1;
  method.user = clip;
  method.reset = percentile_clip_reset;
  method.decide = percentile_clip_decide;
  method.save = percentile_clip_save;
  method.load = percentile_clip_load;
  method.release = percentile_clip_release;
  status = gradstab_own_method(&method, transform);
  if (status != GRADSTAB_OK) percentile_clip_release(clip);
  return status;
}

#endif
