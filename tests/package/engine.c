// An engine in C outside this project.
#include <gradstab/optimizer.h>
#include <gradstab/recorder.h>
#include <stdio.h>

int main(void) {
  const char* version = gradstab_version_string();
  if (version[0] < '0' || version[0] > '9') return 1;
  gradstab_optimizer* optimizer;
  if (gradstab_adam(NULL, NULL, &optimizer) != GRADSTAB_OK) return 1;
  gradstab_optimizer_destroy(optimizer);

  // Norms of a step: 3 and 4 make 5.
  const char* const path = "norms.gsnorms";
  const int64_t sizes[] = {2};
  const gradstab_parameter parameter = {"weight", 1, sizes};
  float gradient[] = {3, 4};
  void* const gradients[] = {gradient};
  gradstab_recorder* recorder;
  if (gradstab_recorder_open(path, &parameter, 1, NULL, &recorder) != GRADSTAB_OK) return 1;
  const double loss = 2.5;
  if (gradstab_recorder_record_pointers(recorder, gradients, 1, GRADSTAB_FLOAT32, 1, &loss) != GRADSTAB_OK ||
      gradstab_recorder_close(recorder) != GRADSTAB_OK)
    return 1;
  gradstab_recorder_destroy(recorder);
  unsigned char norm[8] = {0};  // the last step's norm, and the checksum behind it
  FILE* const file = fopen(path, "rb");
  if (file == NULL || fseek(file, -8, SEEK_END) != 0 || fread(norm, 1, 8, file) != 8) return 1;
  fclose(file);
  remove(path);
  if (norm[0] != 0 || norm[1] != 0 || norm[2] != 0xA0 || norm[3] != 0x40) return 1;  // 5 as binary32

  printf("linked with gradstab %s\n", version);
  return 0;
}
