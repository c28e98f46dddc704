// The kernels by name, and what each of their blocks does: the one list that the device, its emulation on the
// host and the stand-in for the driver share.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backends/cuda/apply.hpp"
#include "backends/cuda/decide_tensors.hpp"
#include "backends/cuda/measure.hpp"
#include "backends/cuda/update.hpp"

namespace gradstab::device {

/// The passes of a step that are the same for every rule, each with the blocks that a multiprocessor is to
/// hold at a time. What run_measure, run_decide and run_apply do is the body of their kernels.
#define GRADSTAB_DEVICE_PASSES(PASS) \
  PASS(measure, 6)                   \
  PASS(decide, 2)                    \
  PASS(apply, 4)

#define GRADSTAB_LISTED_PASS(name, ...) name,
/// The last pass is one kernel per rule.
enum class Pass : std::uint8_t { GRADSTAB_DEVICE_PASSES(GRADSTAB_LISTED_PASS) update };
#undef GRADSTAB_LISTED_PASS

/// A kernel, which the device knows by its name.
struct Kernel {
  Pass pass = Pass::measure;
  UpdateRule rule = UpdateRule::plain;  ///< of an update

  /// The place in kKernels.
  constexpr std::size_t index() const {
    return static_cast<std::size_t>(pass) + (pass == Pass::update ? static_cast<std::size_t>(rule) : 0);
  }
};

struct NamedKernel {
  const char* name;
  Kernel kernel;
};

#define GRADSTAB_PASS_KERNEL_NAME(name, ...) {"gradstab_kernel_" #name, {Pass::name}},
#define GRADSTAB_UPDATE_KERNEL_NAME(name, ...) \
  {"gradstab_kernel_update_" #name, {Pass::update, UpdateRule::name}},
inline constexpr NamedKernel kKernels[] = {GRADSTAB_DEVICE_PASSES(GRADSTAB_PASS_KERNEL_NAME)
                                               GRADSTAB_UPDATE_RULES(GRADSTAB_UPDATE_KERNEL_NAME)};
#undef GRADSTAB_PASS_KERNEL_NAME
#undef GRADSTAB_UPDATE_KERNEL_NAME

inline constexpr std::size_t kKernelCount = sizeof kKernels / sizeof kKernels[0];

template <class Block>
GRADSTAB_HOST_DEVICE void run_measure(Block& block, const Tables& tables, const Launch& launch) {
  if (tables.has_empty && block.index() == 0) clear_empty_tensors(block, tables);
  const std::uint32_t chunk = launch.first_chunk + block.index();
  if (chunk < tables.chunk_count) measure_chunk(block, tables, launch, chunk);
}

template <class Block>
GRADSTAB_HOST_DEVICE void run_decide(Block& block, const Tables& tables, const Launch& launch) {
  decide_tensors(block, tables, launch);
}

/// The chunk of a block in a pass that writes; beyond the end where the launch only counts.
template <class Block>
GRADSTAB_HOST_DEVICE std::uint32_t backwards(Block& block, const Tables& tables, const Launch& launch) {
  if (launch.counts_step && block.index() == 0) block.lead([&] { count_step(tables); });
  return launch.first_chunk + launch.blocks - 1 - block.index();
}

template <class Block>
GRADSTAB_HOST_DEVICE void run_apply(Block& block, const Tables& tables, const Launch& launch) {
  const std::uint32_t chunk = backwards(block, tables, launch);
  if (chunk < tables.chunk_count) apply_chunk(block, tables, chunk);
}

template <UpdateRule kRule, class Block>
GRADSTAB_HOST_DEVICE void run_update(Block& block, const Tables& tables, const Launch& launch) {
  const std::uint32_t chunk = backwards(block, tables, launch);
  if (chunk < tables.chunk_count) update_chunk<kRule>(block, tables, launch, chunk);
}

}  // namespace gradstab::device
