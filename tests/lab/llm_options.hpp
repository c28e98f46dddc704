// Settings of a language model, all of them the defaults.
#pragma once

#include "lab/llm/llm_kind.hpp"
#include "lab/llm/llm_settings.hpp"

namespace gradstab::lab {

inline TrainOptions llm_options() {
  return default_options(llm_kind());
}

}  // namespace gradstab::lab
