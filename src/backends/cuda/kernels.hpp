// The kernels by name, and what each of their blocks does: the one list that the device and its emulation on
// the host share.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backends/cuda/apply.hpp"
#include "backends/cuda/decide_tensors.hpp"
#include "backends/cuda/measure.hpp"
#include "backends/cuda/update.hpp"

namespace gradstab::device {

/// In this order: the first two, `apply`, then one update per UpdateRule.
enum class Kernel : std::uint8_t { measure, decide, apply, update };

inline constexpr std::size_t kKernelCount = 3 + kUpdateRuleCount;

constexpr std::size_t kernel_index(Kernel kernel, UpdateRule rule = UpdateRule::plain) {
  return static_cast<std::size_t>(kernel) + (kernel == Kernel::update ? static_cast<std::size_t>(rule) : 0);
}

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

template <class Rule, class Block>
GRADSTAB_HOST_DEVICE void run_update(Block& block, const Tables& tables, const Launch& launch) {
  const std::uint32_t chunk = backwards(block, tables, launch);
  if (chunk < tables.chunk_count) update_chunk<Rule>(block, tables, launch, chunk);
}

}  // namespace gradstab::device
