// What the kept archives (data/*.pt) are archives of. A subject never changes: an older version wrote its
// archive.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "gradstab/libtorch_fused.hpp"

namespace gradstab::testing {

/// Two parameters, the same every time.
inline std::vector<torch::Tensor> kept_parameters() {
  std::vector<torch::Tensor> list;
  for (const std::int64_t rows : {3, 2})
    list.push_back(torch::linspace(-1.0, 1.0, rows * 2, torch::kFloat64).reshape({rows, 2}).requires_grad_());
  return list;
}

inline void set_kept_gradients(std::vector<torch::Tensor>& list, int step) {
  for (std::size_t i = 0; i < list.size(); ++i) {
    const auto count = list[i].numel();
    list[i].mutable_grad() =
        ((torch::arange(count, torch::kFloat64) * 3 + step * 5 + static_cast<double>(i)).remainder(7) - 3)
            .reshape(list[i].sizes());
  }
}

struct KeptArchive {
  std::string name;
  std::function<std::unique_ptr<FusedOptimizer>(std::vector<torch::Tensor>, bool kept)> make;
};

/// Every type of options that this library serializes itself. With `kept`, settings of which none is the
/// default; otherwise the defaults.
inline std::vector<KeptArchive> kept_archives() {
  const auto named = [](const std::vector<torch::Tensor>& list) {
    torch::OrderedDict<std::string, torch::Tensor> names;
    names.insert("first.proj", list[0]);
    names.insert("second.proj", list[1]);
    return names;
  };
  return {
      {"lion",
       [named](std::vector<torch::Tensor> list, bool kept) -> std::unique_ptr<FusedOptimizer> {
         LionOptions options;
         if (kept)
           options = {.lr = 0.02, .beta1 = 0.8, .beta2 = 0.95, .weight_decay = 0.1, .decay_over_lr = 0.5};
         return std::make_unique<FusedLion>(named(list), LionTorchOptions(options));
       }},
      {"adam_mini",
       [named](std::vector<torch::Tensor> list, bool kept) -> std::unique_ptr<FusedOptimizer> {
         AdamMiniOptions options;
         if (kept)
           options = {.lr = 0.02,
                      .beta1 = 0.8,
                      .beta2 = 0.95,
                      .epsilon = 1e-6,
                      .weight_decay = 0.1,
                      .dim = 4,
                      .n_heads = 2};
         return std::make_unique<FusedAdamMini>(named(list), AdamMiniTorchOptions(options));
       }},
      {"spam",
       [named](std::vector<torch::Tensor> list, bool kept) -> std::unique_ptr<FusedOptimizer> {
         SpamOptions options;
         if (kept)
           options = {.lr = 0.02,
                      .beta1 = 0.8,
                      .beta2 = 0.95,
                      .epsilon = 1e-5,
                      .weight_decay = 0.1,
                      .threshold = 2.0,
                      .reset_interval = 4,
                      .warmup_steps = 2,
                      .quiet_steps = 1};
         return std::make_unique<FusedSpam>(named(list), SpamTorchOptions(options));
       }},
      {"adam_with_resets",
       [named](std::vector<torch::Tensor> list, bool kept) -> std::unique_ptr<FusedOptimizer> {
         AdamOptions options;
         // Which states there are is no setting that a load may change.
         options.decoupled = true;
         options.amsgrad = true;
         if (kept)
           options = {.lr = 0.02,
                      .beta1 = 0.8,
                      .beta2 = 0.95,
                      .epsilon = 1e-6,
                      .weight_decay = 0.1,
                      .decoupled = true,
                      .amsgrad = true,
                      .reset_interval = 4,
                      .compat = Compat::released};
         return std::make_unique<FusedAdamWithResets>(named(list), AdamWithResetsTorchOptions(options));
       }},
  };
}

inline constexpr int kKeptBefore = 3;
inline constexpr int kKeptAfter = 3;

inline void keep_steps(FusedOptimizer& optimizer, std::vector<torch::Tensor>& list, int first, int last) {
  for (int step = first; step < last; ++step) {
    set_kept_gradients(list, step);
    optimizer.step();
  }
}

}  // namespace gradstab::testing
