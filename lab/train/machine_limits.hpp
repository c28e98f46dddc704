// Whether a run can fit this machine, told before it begins.
#pragma once

#include <cstdint>
#include <string>

#include "gradstab/status.hpp"
#include "lab/train/train_options.hpp"

namespace gradstab::lab {

/// What runs share.
struct Machine {
  std::uint64_t memory = 0;  ///< bytes that this process may use; 0: unknown
  unsigned cores = 1;

  /// The smaller of the computer's memory and the limit of this process's control group.
  static Machine here();
};

/// Bytes that a run needs at the very least, by what they are for.
struct MemoryNeed {
  double weights = 0.0;
  double gradients = 0.0;        ///< of all parameters at once; none where backward steps and frees them
  double optimizer_state = 0.0;  ///< one or two numbers per parameter
  double activations = 0.0;      ///< what backward needs of one micro-batch

  /// Gradients take the place of activations while backward goes through the model.
  double total() const;
};

/// From the sizes alone, f32 throughout. What is left out (the data, LibTorch itself, temporaries, rounding
/// copies of low precision) comes on top. The settings are valid.
MemoryNeed memory_need(const TrainOptions& options);

/// Refuses what cannot go well with `jobs` such runs at a time: more memory than there is, more than eight
/// threads per core and more than 64. Of a run on a device the host's memory counts for the weights alone,
/// which begin there. The message has both numbers.
Status check_machine(const TrainOptions& options, const Machine& machine, int jobs = 1);

/// "26.9 GB (26934034432 bytes)", "4.3 MB (4282880 bytes)"
std::string memory_text(double bytes);

}  // namespace gradstab::lab
