// State of LibTorch's own optimizers to and from a checkpoint.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gradstab/libtorch.hpp"
#include "lab/train/stored_state.hpp"

namespace gradstab::lab {

/// What these optimizers keep per parameter: visit(name, tensor). A tensor that is not in use is undefined.
template <class State, class Visit>
void for_each_state_tensor(State& state, Visit visit) {
  if constexpr (requires { state.momentum_buffer(); }) {
    visit("momentum_buffer", state.momentum_buffer());
  } else {
    visit("exp_avg", state.exp_avg());
    visit("exp_avg_sq", state.exp_avg_sq());
    visit("max_exp_avg_sq", state.max_exp_avg_sq());
  }
}

inline std::string state_name(const std::string& field, const std::string& parameter) {
  return std::string(kOptimizerPrefix) + field + "/" + parameter;
}

/// Adds the state of all parameters; the steps of those that count them go into the header's "optimizer".
template <class State>
Status save_libtorch_state(const torch::optim::Optimizer& optimizer, const NamedParameters& parameters,
                           CheckpointFiller& filler) {
  Json steps = Json::object();
  for (const auto& item : parameters) {
    const auto found = optimizer.state().find(state_key(item.value()));
    if (found == optimizer.state().end()) continue;
    auto& state = static_cast<State&>(*found->second);
    Status status;
    for_each_state_tensor(state, [&](const char* field, const torch::Tensor& tensor) {
      if (tensor.defined() && status.ok()) status = filler.add(state_name(field, item.key()), tensor);
    });
    GRADSTAB_RETURN_IF_ERROR(status);
    if constexpr (requires { state.step(); }) steps[item.key()] = state.step();
  }
  filler.header()["optimizer"] = {{"steps", steps}};
  return {};
}

/// Prepares fresh state of every parameter that the checkpoint has state of; `loader` fills it in. The state
/// is the optimizer's only after `adopt`.
template <class State>
class LibTorchState {
 public:
  Status expect(const NamedParameters& parameters, const JsonReader& header, CheckpointLoader& loader) {
    for (const auto& item : parameters) {
      auto state = std::make_unique<State>();
      bool any = false;
      Status status;
      for_each_state_tensor(*state, [&](const char* field, torch::Tensor& tensor) {
        const std::string name = state_name(field, item.key());
        if (!status.ok() || !loader.has(name)) return;
        any = true;
        tensor = torch::zeros_like(item.value(), torch::MemoryFormat::Preserve).detach();
        status = loader.expect(name, tensor);
      });
      GRADSTAB_RETURN_IF_ERROR(status);
      if (!any) continue;
      if constexpr (requires { state->step(); }) {
        for (const char* field : {"exp_avg", "exp_avg_sq"}) {
          if (!loader.has(state_name(field, item.key())))
            return {StatusCode::shape_mismatch, "it has no tensor '" + state_name(field, item.key()) + "'"};
        }
        state->step(header["optimizer"]["steps"][item.key()].whole(1));
      }
      states_.emplace_back(item.value(), std::move(state));
    }
    return header.status();
  }

  void adopt(torch::optim::Optimizer& optimizer) {
    optimizer.state().clear();
    for (auto& [parameter, state] : states_) optimizer.state()[state_key(parameter)] = std::move(state);
  }

 private:
  std::vector<std::pair<torch::Tensor, std::unique_ptr<State>>> states_;
};

}  // namespace gradstab::lab
