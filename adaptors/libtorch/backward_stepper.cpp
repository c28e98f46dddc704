// Steps parameters from within backward.
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <cmath>

#include "fused_optimizer.hpp"

namespace gradstab {

struct BackwardStepper::State {
  FusedOptimizer* optimizer = nullptr;
  Mode mode = Mode::update;
  bool held = false;

  struct Hooked {
    // Kept alive: a variable holds it only weakly. The kind of pointer depends on the version.
    decltype(torch::autograd::impl::grad_accumulator(at::Tensor())) accumulator;
    std::uintptr_t key = 0;
  };
  std::vector<Hooked> hooked;

  std::vector<bool> stepped;           // since the last take_report
  std::vector<TensorReport> reported;  // what the last take_report gave out
  StepReport report;
  std::int64_t reports = 0;

  void gradient_is_complete(std::size_t index);
};

namespace {

/// Called after the gradient of one parameter has been accumulated.
class Hook final : public torch::autograd::FunctionPostHook {
 public:
  explicit Hook(std::function<void()> call) : call_(std::move(call)) {}
  torch::autograd::variable_list operator()(const torch::autograd::variable_list& outputs,
                                            const torch::autograd::variable_list&) override {
    call_();
    return outputs;
  }

 private:
  std::function<void()> call_;
};

double root_of_squares_of(const std::vector<TensorReport>& tensors, bool raw) {
  double sum = 0.0;
  for (const TensorReport& tensor : tensors) {
    if (!tensor.present || !tensor.finite) continue;
    const double norm = raw ? tensor.raw_norm : tensor.norm();
    sum = std::hypot(sum, norm);
  }
  return sum;
}

}  // namespace

void BackwardStepper::State::gradient_is_complete(std::size_t index) {
  if (held) return;
  at::Tensor& parameter = optimizer->impl_->parameters.tensors()[index];
  const at::Tensor& gradient = parameter.grad();
  if (!gradient.defined()) return;
  if (mode == Mode::measure) {
    optimizer->impl_->fused.measure_one(index, gradient).check();
    return;
  }
  // Schedulers write into the groups at any time; what they change is the learning rate.
  const std::size_t group = optimizer->impl_->parameters.group_of()[index];
  optimizer->impl_->fused.set_lr(group, optimizer->param_groups_[group].options().get_lr()).check();
  optimizer->impl_->fused.step_one(index, parameter, gradient).check();
  stepped[index] = true;
  parameter.unsafeGetTensorImpl()->bump_version();
  parameter.mutable_grad().reset();
}

BackwardStepper::BackwardStepper(FusedOptimizer& optimizer, Mode mode) : state_(std::make_shared<State>()) {
  optimizer.bind();
  std::vector<at::Tensor>& parameters = optimizer.impl_->parameters.tensors();
  if (mode == Mode::update) optimizer.impl_->fused.can_step_one(parameters).check();
  state_->optimizer = &optimizer;
  state_->mode = mode;
  state_->stepped.resize(parameters.size());
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    at::Tensor& parameter = parameters[i];
    const bool frozen = !parameter.requires_grad();
    if (frozen && !parameter.is_floating_point() && !parameter.is_complex()) continue;
    // What is frozen may be trained later. It has such a node only while it is trained, and keeps it.
    if (frozen) parameter.set_requires_grad(true);
    auto accumulator = torch::autograd::impl::grad_accumulator(parameter);
    if (frozen) parameter.set_requires_grad(false);
    // The node outlives this object inside graphs that are still held somewhere, so it must not own the
    // state.
    const std::weak_ptr<State> state = state_;
    const auto key = accumulator->add_post_hook(std::make_unique<Hook>([state, i] {
      if (const auto alive = state.lock()) alive->gradient_is_complete(i);
    }));
    state_->hooked.push_back({std::move(accumulator), key});
  }
}

BackwardStepper::~BackwardStepper() {
  for (State::Hooked& hooked : state_->hooked) hooked.accumulator->del_post_hook(hooked.key);
}

void BackwardStepper::hold(bool held) noexcept {
  state_->held = held;
}

const StepReport& BackwardStepper::take_report() {
  State& state = *state_;
  state.reported.assign(state.stepped.size(), {});
  for (std::size_t i = 0; i < state.stepped.size(); ++i) {
    if (state.stepped[i]) state.reported[i] = state.optimizer->impl_->fused.report_of_one(i).value();
  }
  state.stepped.assign(state.stepped.size(), false);
  state.report = {};
  state.report.tensors = state.reported;
  state.report.step = ++state.reports;
  state.report.raw_global_norm = root_of_squares_of(state.reported, true);
  state.report.global_norm = root_of_squares_of(state.reported, false);
  for (const TensorReport& tensor : state.reported) {
    state.report.spikes += tensor.spike ? 1 : 0;
    state.report.nonfinite += tensor.finite ? 0 : 1;
  }
  return state.report;
}

}  // namespace gradstab
