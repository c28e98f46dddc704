// An engine in C outside this project.
#include <gradstab/optimizer.h>
#include <stdio.h>

int main(void) {
  const char* version = gradstab_version_string();
  if (version[0] < '0' || version[0] > '9') return 1;
  gradstab_optimizer* optimizer;
  if (gradstab_adam(NULL, NULL, &optimizer) != GRADSTAB_OK) return 1;
  gradstab_optimizer_destroy(optimizer);
  printf("linked with gradstab %s\n", version);
  return 0;
}
