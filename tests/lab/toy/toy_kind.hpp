// A task of the tests alone: a noisy quadratic whose loss is a thousand times as large now and then. It shows
// that a task is one folder and one line: nothing outside of this folder knows it.
#pragma once

#include <concepts>
#include <type_traits>

#include "lab/train/task_kind.hpp"

namespace gradstab::lab {

struct ToySettings {
  std::int64_t size = 8;
  double noise = 0.1;
  std::int64_t spike_every = 7;
};

template <class Settings, class Visit>
requires std::same_as<std::remove_const_t<Settings>, ToySettings>
void visit_settings(Settings& settings, Visit visit) {
  visit("size", settings.size, "coordinates of the point that is looked for");
  visit("noise", settings.noise, "standard deviation of the gradient's noise");
  visit("spike_every", settings.spike_every, "micro-batches from one spike to the next; 0: none");
}

/// Lives as long as the program.
const TaskKind& toy_kind();

}  // namespace gradstab::lab
