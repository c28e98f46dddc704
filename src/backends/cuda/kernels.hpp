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

/// The blocks of one launch. Passes that write walk their chunks backwards: what was measured last is still
/// in the cache and comes first.
struct Launch {
  std::uint32_t blocks = 0;
  std::uint32_t first_chunk = 0;  ///< of a range of chunks that share a rule
  bool counts_step = false;       ///< the first block counts the step
};

template <class Block>
GRADSTAB_HOST_DEVICE void run_measure(Block& block, const Tables& tables, const Launch&) {
  if (tables.has_empty && block.index() == 0) clear_empty_tensors(block, tables);
  if (block.index() < tables.chunk_count) measure_chunk(block, tables, block.index());
}

template <class Block>
GRADSTAB_HOST_DEVICE void run_decide(Block& block, const Tables& tables, const Launch& launch) {
  decide_tensors(block, tables, block.index(), launch.blocks);
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
  if (chunk < tables.chunk_count) update_chunk<Rule>(block, tables, chunk);
}

}  // namespace gradstab::device
