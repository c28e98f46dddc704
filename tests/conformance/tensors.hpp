// Tensors: the gradients of all parameters, with guards around each and a choice of alignment.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "gradstab/tensor.hpp"
#include "gradstab/transform.hpp"
#include "support/elements.hpp"

namespace gradstab::testing {

using Sizes = std::vector<std::int64_t>;

/// Ranks 0 to 4, nothing at all, and lengths around those of vectors. Ten.
const std::vector<Sizes>& ordinary_sizes();
/// As many; some are longer than a block and than a batch of the step plan.
const std::vector<Sizes>& long_sizes();

class Tensors {
 public:
  /// Each tensor starts `offset` elements after a 64-byte boundary.
  Tensors(const std::vector<Sizes>& sizes, DType dtype, std::size_t offset = 0);

  /// Random gradients that depend on the step alone; each tensor has a norm of its own, and step 9 is a
  /// spike.
  void fill(int step);
  /// The elements of tensors of the same sizes and type.
  void copy(const Tensors& other);
  void fill_with(std::size_t tensor, double value);

  std::vector<TensorRef>& refs() { return refs_; }
  Elements& operator[](std::size_t tensor) { return *elements_[tensor]; }
  const Elements& operator[](std::size_t tensor) const { return *elements_[tensor]; }
  std::size_t size() const { return elements_.size(); }

  std::vector<std::byte> bytes(std::size_t tensor) const;
  std::vector<std::vector<std::byte>> bytes() const;
  bool guards_intact() const;

 private:
  std::vector<std::unique_ptr<Elements>> elements_;
  std::vector<TensorRef> refs_;
};

/// Elements [begin, begin + count) of one tensor that share a factor.
struct Segment {
  std::size_t tensor;
  std::size_t begin;
  std::size_t count;
  const TensorReport* report;
};

/// The rows of a report where it has some, else its tensors.
std::vector<Segment> segments_of(const StepReport& report, const Tensors& tensors);

}  // namespace gradstab::testing
