// TensorViews: the tensors of one step, as kernels read them.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "core/step/gradient_memory.hpp"
#include "core/step/segments.hpp"
#include "gradstab/status.hpp"
#include "gradstab/tensor.hpp"

namespace gradstab {

/// One view per registered parameter. A view without data is that of a tensor that is absent, or was refused.
class TensorViews {
 public:
  /// `what` names these tensors in errors ("gradient of"), `backend` who reads them. Both outlive this
  /// object.
  void bind(std::size_t count, std::string_view what, std::string_view backend);

  /// Checks a tensor that has data against its parameter and keeps its view. Says whether its elements lie in
  /// memory without gaps.
  Result<bool> take(const Parameter& parameter, const TensorRef& tensor, std::size_t index,
                    const Segments& segments);

  void clear(std::size_t index) noexcept { views_[index].data = nullptr; }

  /// Of the whole tensor, or of its first segment where it is in pieces.
  const GradientView& operator[](std::size_t index) const noexcept { return views_[index]; }

 private:
  /// How a tensor is cut into segments.
  struct Division {
    std::size_t pieces = 1;
    bool rows = false;   // along axis 0
    bool parts = false;  // into equal runs of elements
  };
  static Division division_of(const Parameter& parameter, std::size_t index, const Segments& segments);

  template <class... What>
  Status refuse(StatusCode code, const Parameter& parameter, const What&... what) const;
  Status check(const Parameter& parameter, const TensorRef& tensor, const Division& division) const;
  Status check_sparse(const Parameter& parameter, const TensorRef& tensor, const Division& division) const;
  Status take_layout(const Parameter& parameter, const TensorRef& part, std::size_t index);

  std::string_view what_;
  std::string_view backend_;
  std::vector<GradientView> views_;
  std::vector<Layout> layouts_;  // of those whose elements do not lie side by side
};

}  // namespace gradstab
