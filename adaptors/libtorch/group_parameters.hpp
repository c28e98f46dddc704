// The parameters of LibTorch's groups as the library registers them.
#pragma once

#include <torch/optim/optimizer.h>
#include <torch/ordered_dict.h>

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "gradstab/tensor.hpp"

namespace gradstab {

/// The parameters of all groups, in their order, under names: those that were given, else by position:
/// "group0.parameter3".
class GroupParameters {
 public:
  using Groups = std::vector<torch::optim::OptimizerParamGroup>;

  void set_names(const torch::OrderedDict<std::string, at::Tensor>& names);

  /// Whether the groups have the parameters that were held last, in the same groups and shapes.
  bool hold(const Groups& groups) const;

  struct Taken {
    ParameterSet set;
    /// Positions whose name is only a position and stands for another tensor than it did.
    std::vector<std::size_t> fresh;
    std::vector<at::Tensor> tensors;
    std::vector<std::size_t> group_of;
  };
  /// What the groups have now. Throws gradstab::Error for a parameter that is there twice, of which `twice`
  /// says what would happen, and for a nested tensor.
  Taken take(const Groups& groups, const char* twice) const;
  /// From now on these are held.
  void keep(Taken taken);

  const std::vector<at::Tensor>& tensors() const noexcept { return tensors_; }
  std::vector<at::Tensor>& tensors() noexcept { return tensors_; }
  const std::vector<std::size_t>& group_of() const noexcept { return group_of_; }

 private:
  std::vector<std::pair<at::Tensor, std::string>> names_;
  bool kept_ = false;
  // Held, so that no new tensor can take an old one's place.
  std::vector<at::Tensor> tensors_;
  std::vector<std::size_t> group_of_;
  ParameterSet set_;
};

}  // namespace gradstab
