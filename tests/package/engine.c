// An engine in C outside this project.
#include <gradstab/gradstab.h>
#include <stdio.h>

int main(void) {
  const char* version = gradstab_version_string();
  if (version[0] < '0' || version[0] > '9') return 1;
  printf("linked with gradstab %s\n", version);
  return 0;
}
