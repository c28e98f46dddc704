// The library's version. CMake and pip read it here.
#pragma once

#define GRADSTAB_VERSION "0.2.0"
