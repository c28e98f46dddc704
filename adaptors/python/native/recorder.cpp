#include "recorder.hpp"

#include <ATen/ATen.h>

#include <optional>
#include <utility>

#include "aten/tensor.hpp"
#include "errors.hpp"
#include "tensors.hpp"

namespace gradstab::python {
namespace {

std::vector<RecordedFact> facts(const std::vector<std::string>& keys,
                                const std::vector<std::string>& values) {
  std::vector<RecordedFact> result;
  for (std::size_t i = 0; i < keys.size() && i < values.size(); ++i) result.push_back({keys[i], values[i]});
  return result;
}

std::optional<double> loss_of(bool has_loss, double loss) {
  return has_loss ? std::optional(loss) : std::nullopt;
}

}  // namespace

Recorder::Recorder(std::string path, const std::vector<std::string>& keys,
                   const std::vector<std::string>& values, std::int64_t every)
    : recorder_(value(NormRecorder::open(
          std::move(path), {},
          {.facts = facts(keys, values), .every = every, .backend = {}, .executor = torch_executor()}))) {}

void Recorder::set_parameters(const std::vector<std::string>& names,
                              const std::vector<std::vector<std::int64_t>>& sizes,
                              const std::vector<std::string>& dtypes) {
  check(recorder_.set_parameters(parameter_set(names, sizes)));
  recorder_.set_dtypes(dtypes);
}

void Recorder::set_facts(const std::vector<std::string>& keys, const std::vector<std::string>& values) {
  recorder_.set_facts(facts(keys, values));
}

void Recorder::pass(std::int64_t step) {
  if (!recorder_.records_step(step)) check(recorder_.record_norms({}, step));
}

void Recorder::record(const std::vector<std::int64_t>& positions, const std::vector<at::Tensor>& gradients,
                      std::int64_t step, bool has_loss, double loss) {
  const ParameterSet& set = recorder_.parameters();
  const std::vector<std::size_t> indices = to_indices(positions, set.size());
  gradients_.assign(set.size(), {});
  for (std::size_t i = 0; i < indices.size(); ++i) gradients_[indices[i]] = gradients.at(i);
  const auto plain = value(plain_.take(gradients_, set));
  references_.assign(set.size(), {});
  std::vector<at::Tensor> copies;
  for (const std::size_t i : indices) {
    references_[i] = reference(plain[i], set[i].name);
    // An expanded gradient can be read, but the library takes it for one that will be written.
    if (!overlaps_itself(references_[i])) continue;
    copies.push_back(plain[i].contiguous());
    references_[i] = reference(copies.back(), set[i].name);
  }
  const Status status = recorder_.record(references_, step, loss_of(has_loss, loss));
  // They are the caller's to free.
  plain_.clear();
  gradients_.clear();
  check(status);
}

void Recorder::write(const at::Tensor& norms, std::int64_t step, bool has_loss, double loss) {
  const at::Tensor numbers = norms.to(at::kDouble).contiguous();
  check(recorder_.record_norms({numbers.data_ptr<double>(), static_cast<std::size_t>(numbers.numel())}, step,
                               loss_of(has_loss, loss)));
}

void Recorder::close() {
  check(recorder_.close());
}

}  // namespace gradstab::python
