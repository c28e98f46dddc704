#include "lab/train/shared_update.hpp"

#include <algorithm>
#include <cmath>

namespace gradstab::lab {
namespace {

/// Numbers that are summed in one go: few enough not to double the memory of a large model, many enough for
/// the way to the other processes to weigh little.
constexpr std::int64_t kMostTogether = std::int64_t{1} << 22;

/// Sums tensors of one dtype, in groups of at most kMostTogether numbers.
Status sum_all(Processes& processes, const std::vector<at::Tensor>& tensors) {
  for (std::size_t first = 0; first < tensors.size();) {
    std::vector<at::Tensor> group;
    std::int64_t numbers = 0;
    std::size_t end = first;
    do {
      numbers += tensors[end].numel();
      group.push_back(tensors[end].reshape({-1}));
      ++end;
    } while (end < tensors.size() && numbers + tensors[end].numel() <= kMostTogether);
    const at::Tensor flat = torch::cat(group);
    GRADSTAB_RETURN_IF_ERROR(processes.sum(flat));
    std::int64_t at = 0;
    for (std::size_t i = first; i < end; ++i) {
      const std::int64_t count = tensors[i].numel();
      tensors[i].copy_(flat.narrow(0, at, count).view(tensors[i].sizes()));
      at += count;
    }
    first = end;
  }
  return {};
}

}  // namespace

Result<UpdatePart> brought_together(Processes& processes, const torch::nn::Module& model,
                                    const UpdatePart& here) {
  const torch::NoGradGuard no_grad;
  std::vector<at::Tensor> parameters = model.parameters();
  constexpr std::int64_t kFirst = 3;
  const at::Tensor numbers =
      torch::zeros({kFirst + static_cast<std::int64_t>(parameters.size())}, torch::kDouble);
  auto* const number = numbers.data_ptr<double>();
  number[0] = here.loss;
  number[1] = here.stop ? 1.0 : 0.0;
  number[2] = here.status.ok() ? 0.0 : 1.0;
  for (std::size_t i = 0; i < parameters.size(); ++i)
    number[kFirst + static_cast<std::int64_t>(i)] = parameters[i].grad().defined() ? 1.0 : 0.0;
  GRADSTAB_RETURN_IF_ERROR(processes.sum(numbers));
  if (number[2] > 0.0) return processes.agreed(here.status);
  std::vector<at::Tensor> gradients;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (number[kFirst + static_cast<std::int64_t>(i)] == 0.0) continue;
    at::Tensor& gradient = parameters[i].mutable_grad();
    if (!gradient.defined()) gradient = torch::zeros_like(parameters[i]);
    gradients.push_back(gradient);
  }
  GRADSTAB_RETURN_IF_ERROR(sum_all(processes, gradients));
  return UpdatePart{number[0], number[1] > 0.0, {}};
}

SharedNormStatistics::SharedNormStatistics(torch::nn::Module& model) {
  const auto add = [&](auto* norm) {
    if (norm == nullptr || !norm->running_mean.defined()) return;
    // Without a momentum the statistics are means over all batches, which the lab's models do not have.
    const double momentum = norm->options.momentum().value();
    statistics_.push_back({norm->running_mean, momentum, {}, {}});
    statistics_.push_back({norm->running_var, momentum, {}, {}});
    counts_.push_back(norm->num_batches_tracked);
  };
  for (const auto& module : model.modules()) {
    add(module->template as<torch::nn::BatchNorm1d>());
    add(module->template as<torch::nn::BatchNorm2d>());
  }
}

void SharedNormStatistics::begin_update() {
  const torch::NoGradGuard no_grad;
  for (Statistic& each : statistics_) {
    each.before = each.buffer.clone();
    each.change = torch::zeros_like(each.buffer, torch::kDouble);
  }
  counted_.clear();
  for (const at::Tensor& each : counts_) counted_.push_back(each.item<std::int64_t>());
}

void SharedNormStatistics::begin_micro_batch() {
  const torch::NoGradGuard no_grad;
  for (Statistic& each : statistics_) each.buffer.copy_(each.before);
}

void SharedNormStatistics::end_micro_batch(std::int64_t index, std::int64_t count) {
  const torch::NoGradGuard no_grad;
  for (Statistic& each : statistics_) {
    const double weight = std::pow(1.0 - each.momentum, static_cast<double>(count - 1 - index));
    each.change.add_(each.buffer.to(torch::kDouble) - each.before.to(torch::kDouble), weight);
  }
}

Status SharedNormStatistics::end_update(Processes& processes, std::int64_t count) {
  const torch::NoGradGuard no_grad;
  std::vector<at::Tensor> changes;
  for (Statistic& each : statistics_) changes.push_back(each.change);
  GRADSTAB_RETURN_IF_ERROR(sum_all(processes, changes));
  for (Statistic& each : statistics_) each.buffer.copy_(each.before.to(torch::kDouble) + each.change);
  for (std::size_t i = 0; i < counts_.size(); ++i) counts_[i].fill_(counted_[i] + count);
  return {};
}

}  // namespace gradstab::lab
