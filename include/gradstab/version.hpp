// The library's version; the one place besides CMake's project() that a test compares with it.
#pragma once

#define GRADSTAB_VERSION "0.1.0"
