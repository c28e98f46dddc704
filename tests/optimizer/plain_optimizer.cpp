#include "optimizer/plain_optimizer.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace gradstab::testing {
namespace {

double correction(double beta, std::int64_t step) {
  return 1.0 - std::pow(beta, static_cast<double>(step));
}

double sign(double x) {
  return x > 0 ? 1.0 : x < 0 ? -1.0 : 0.0;
}

void step(PlainParameter& p, const SgdOptions& o, const Values& gradient, std::int64_t) {
  for (std::size_t i = 0; i < p.value.size(); ++i) {
    double d = gradient[i] + o.weight_decay * p.value[i];
    if (o.momentum != 0.0) {
      p.first[i] = p.step == 1 ? d : o.momentum * p.first[i] + (1 - o.dampening) * d;
      d = o.nesterov ? d + o.momentum * p.first[i] : p.first[i];
    }
    p.value[i] -= o.lr * d;
  }
}

void step(PlainParameter& p, const AdamOptions& o, const Values& gradient, std::int64_t) {
  // Steps as the bias corrections count them.
  std::int64_t k = 0;
  for (std::int64_t t = 1; t <= p.step; ++t)
    k = o.reset_interval > 0 && t % o.reset_interval == 0 ? 1 : k + 1;
  const bool resets = o.reset_interval > 0 && p.step % o.reset_interval == 0;
  if (resets && o.compat == Compat::robust) {
    for (Values* moment : {&p.first, &p.second, &p.largest}) std::ranges::fill(*moment, 0.0);
  }
  for (std::size_t i = 0; i < p.value.size(); ++i) {
    double g = gradient[i];
    if (o.decoupled) {
      p.value[i] *= 1 - o.lr * o.weight_decay;
    } else {
      g += o.weight_decay * p.value[i];
    }
    p.first[i] = o.beta1 * p.first[i] + (1 - o.beta1) * g;
    p.second[i] = o.beta2 * p.second[i] + (1 - o.beta2) * g * g;
    p.largest[i] = std::max(p.largest[i], p.second[i]);
    const double v = o.amsgrad ? p.largest[i] : p.second[i];
    p.value[i] -= o.lr / correction(o.beta1, k) * p.first[i] /
                  (std::sqrt(v) / std::sqrt(correction(o.beta2, k)) + o.epsilon);
  }
  if (resets && o.compat == Compat::released) {
    for (Values* moment : {&p.first, &p.second}) std::ranges::fill(*moment, 0.0);
  }
}

void step(PlainParameter& p, const LionOptions& o, const Values& gradient, std::int64_t) {
  const double decay = o.decay_over_lr > 0 ? o.weight_decay / o.decay_over_lr : o.weight_decay;
  for (std::size_t i = 0; i < p.value.size(); ++i) {
    p.value[i] *= 1 - o.lr * decay;
    p.value[i] -= o.lr * sign(o.beta1 * p.first[i] + (1 - o.beta1) * gradient[i]);
    p.first[i] = o.beta2 * p.first[i] + (1 - o.beta2) * gradient[i];
  }
}

void step(PlainParameter& p, const AdamMiniOptions& o, const Values& gradient, std::int64_t) {
  for (std::size_t unit = 0; unit * p.unit < p.value.size(); ++unit) {
    double mean = 0.0;
    for (std::size_t i = unit * p.unit; i < (unit + 1) * p.unit; ++i) mean += gradient[i] * gradient[i];
    mean /= static_cast<double>(p.unit);
    p.unit_second[unit] = o.beta2 * p.unit_second[unit] + (1 - o.beta2) * mean;
    const double root = std::sqrt(p.unit_second[unit]) / std::sqrt(correction(o.beta2, p.step)) + o.epsilon;
    for (std::size_t i = unit * p.unit; i < (unit + 1) * p.unit; ++i) {
      if (p.decays) p.value[i] *= 1 - o.lr * o.weight_decay;
      p.first[i] = o.beta1 * p.first[i] + (1 - o.beta1) * gradient[i];
      p.value[i] -= o.lr / correction(o.beta1, p.step) * p.first[i] / root;
    }
  }
}

void step(PlainParameter& p, const SpamOptions& o, const Values& gradient, std::int64_t global) {
  SpamSchedule schedule(o);
  SpamSchedule::Step now{};
  for (std::int64_t t = 1; t <= global; ++t) now = schedule.next();
  if (now.resets) {
    std::ranges::fill(p.first, 0.0);
    std::ranges::fill(p.second, 0.0);
  }
  for (std::size_t i = 0; i < p.value.size(); ++i) {
    double g = gradient[i];
    if (now.clips && g * g > o.threshold * p.second[i]) g = sign(g) * std::sqrt(o.threshold * p.second[i]);
    p.first[i] = o.beta1 * p.first[i] + (1 - o.beta1) * g;
    p.second[i] = o.beta2 * p.second[i] + (1 - o.beta2) * g * g;
    p.value[i] -= now.scale * o.lr * std::sqrt(correction(o.beta2, p.step)) / correction(o.beta1, p.step) *
                  p.first[i] / (std::sqrt(p.second[i]) + o.epsilon);
    p.value[i] *= 1 - o.lr * o.weight_decay;
  }
}

}  // namespace

SpamSchedule::Step SpamSchedule::next() {
  const std::int64_t t = ++step_;
  const std::int64_t interval = options_.reset_interval;
  const auto warmup = static_cast<double>(options_.warmup_steps);
  Step now;
  double damped = 0.0;
  if (since_reset_ < options_.warmup_steps) {
    const double angle = std::numbers::pi * static_cast<double>(since_reset_) / (warmup + 1);
    damped = 0.99 * (1 + std::cos(angle)) / 2;
  }
  now.scale = 1 - damped;
  now.resets = interval > 0 && t % interval == 0;
  now.clips = t >= options_.quiet_steps && (interval == 0 || t % interval >= options_.quiet_steps);
  since_reset_ += 1;
  if (interval > 0 && (t + 1) % interval == 0) since_reset_ = 0;
  return now;
}

void plain_step(PlainParameter& parameter, const OptimizerOptions& options, const Values& gradient,
                std::int64_t global) {
  const std::size_t count = parameter.value.size();
  if (parameter.step == 0) {
    parameter.first.assign(count, 0.0);
    parameter.second.assign(count, 0.0);
    parameter.largest.assign(count, 0.0);
    parameter.unit_second.assign(parameter.unit == 0 ? 0 : count / parameter.unit, 0.0);
  }
  parameter.step += 1;
  std::visit([&](const auto& typed) { step(parameter, typed, gradient, global); }, options);
}

}  // namespace gradstab::testing
