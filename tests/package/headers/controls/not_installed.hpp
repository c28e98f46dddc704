// Includes a header that is part of this project and not of what it installs.
#pragma once

#include "aten/tensor.hpp"
