// ElementTransform: a link of a chain that changes single elements, and so the gradient's direction.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/step/gradient_memory.hpp"
#include "core/step/norm_transform.hpp"
#include "gradstab/backend.hpp"

namespace gradstab {

/// Part of one segment in this step.
struct ElementPiece {
  std::size_t tensor;
  std::int64_t first;  ///< of its elements, counted from the tensor's first
  GradientView view;   ///< of the segment
  Piece piece;
  double factor;  ///< pending from the links before: an element stands for itself times this
  const Backend& backend;
};

/// Calls body(element, index within the tensor) for the elements of a piece. The index is that of row-major
/// order where the gradient is contiguous.
template <class Body>
void for_each_element(const ElementPiece& at, Body body) noexcept {
  std::int64_t index = at.first;
  for_each_element(at.view, at.piece, [&](std::byte* element) { body(element, index++); });
}

/// Applies the pending factor and nothing else.
inline void scale_piece(const ElementPiece& at) noexcept {
  if (at.factor != 1.0) scale(at.backend, at.view, at.piece, at.factor);
}

/// An element-wise method. It takes a pass over the gradient of its own, in which the factors pending before
/// it are applied and the norms of the result are measured.
class ElementTransform : public ChainLink {
 public:
  ElementTransform* as_element_transform() noexcept final { return this; }

  /// Whether the method can take this gradient. Changes nothing.
  virtual Status check(const Parameter&, const TensorRef&) const { return {}; }

  /// What is settled per tensor before the elements of these tensors are seen. `reports` and `measures` are
  /// those of all segments. Runs on one thread.
  virtual void prepare(IndexRange, std::span<const TensorReport>, const Measures&) noexcept {}

  /// Writes the elements of a piece. Pieces of a tensor are disjoint and come in any order, from any thread;
  /// not for tensors that are absent or set aside.
  virtual void map(const ElementPiece& piece) noexcept = 0;
};

}  // namespace gradstab
