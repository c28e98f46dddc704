#include "group_parameters.hpp"

#include <unordered_map>
#include <unordered_set>

#include "aten/plain_tensors.hpp"

namespace gradstab {

void GroupParameters::set_names(const torch::OrderedDict<std::string, at::Tensor>& names) {
  names_.clear();
  for (const auto& item : names) names_.emplace_back(item.value(), item.key());
}

bool GroupParameters::hold(const Groups& groups) const {
  if (!kept_) return false;
  std::size_t position = 0;
  for (std::size_t g = 0; g < groups.size(); ++g) {
    for (const at::Tensor& tensor : groups[g].params()) {
      const bool same = position < tensors_.size() && tensors_[position].is_same(tensor) &&
                        group_of_[position] == g && has_shape(tensor, set_[position].sizes);
      if (!same) return false;
      ++position;
    }
  }
  return position == tensors_.size();
}

GroupParameters::Taken GroupParameters::take(const Groups& groups, const char* twice) const {
  std::unordered_map<const c10::TensorImpl*, const std::string*> given;
  for (const auto& [tensor, name] : names_) given.emplace(tensor.unsafeGetTensorImpl(), &name);
  Taken taken;
  std::vector<Parameter> parameters;
  std::unordered_set<const c10::TensorImpl*> seen;
  for (std::size_t g = 0; g < groups.size(); ++g) {
    const auto& params = groups[g].params();
    for (std::size_t i = 0; i < params.size(); ++i) {
      const at::Tensor& tensor = params[i];
      const auto found = given.find(tensor.unsafeGetTensorImpl());
      std::string name = found != given.end()
                             ? *found->second
                             : "group" + std::to_string(g) + ".parameter" + std::to_string(i);
      if (!seen.insert(tensor.unsafeGetTensorImpl()).second) {
        throw Error(
            {StatusCode::invalid_argument, "parameter '" + name + "' is in the optimizer twice; " + twice});
      }
      const std::ptrdiff_t before = set_.find(name);
      if (found == given.end() && before >= 0 && !tensors_[static_cast<std::size_t>(before)].is_same(tensor))
        taken.fresh.push_back(taken.tensors.size());
      auto shape = registered_shape(tensor, name).value();
      parameters.push_back({std::move(name), std::move(shape)});
      taken.tensors.push_back(tensor);
      taken.group_of.push_back(g);
    }
  }
  taken.set = ParameterSet::create(std::move(parameters)).value();
  return taken;
}

void GroupParameters::keep(Taken taken) {
  tensors_ = std::move(taken.tensors);
  group_of_ = std::move(taken.group_of);
  set_ = std::move(taken.set);
  kept_ = true;
}

}  // namespace gradstab
