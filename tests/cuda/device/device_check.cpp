// Checks the CUDA back end on a device, against the same code run on the host. A program without a test
// framework, because machines with a GPU often have none:
//   device_check [--small]
// Ends with 0 if every check passed, 1 if one failed, 77 if there is no device (skipped, which is not
// passed).
// --small leaves out what is long, for compute-sanitizer.
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <exception>
#include <functional>
#include <limits>
#include <thread>

#include "driver_calls.hpp"
#include "optimizer/kinds.hpp"
#include "subjects.hpp"

namespace gradstab::testing {
namespace {

constexpr int kSkipped = 77;
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

struct Failure {
  std::string what;
};

void expect(bool condition, const std::string& what) {
  if (!condition) throw Failure{what};
}

std::shared_ptr<device::Device> device_memory() {
  return device::open_cuda_device(-1).value();
}

std::vector<std::vector<std::int64_t>> some_sizes(bool small) {
  if (small) return {{}, {3}, {5, 7}, {20001}, {2, 900}};
  return {{}, {3}, {5, 7}, {400001}, {2, 9000}, {16384}, {300, 1000}};
}

/// Steps of a transform on the device and emulated, compared after every one.
void transform_matches(bool small, DType dtype, const StabilizerOptions& options, NonFinitePolicy policy,
                       std::size_t offset) {
  const ParameterSet set = parameters_of(some_sizes(small));
  cuda::Transform real(stabilize(options));
  cuda::Transform host(stabilize(options));
  cuda::DeviceOptions on_device;
  on_device.nonfinite = policy;
  cuda::DeviceOptions on_host = on_device;
  on_host.emulate = true;
  real.init(set, on_device).check();
  host.init(set, on_host).check();
  Tensors real_gradients(device_memory(), set, dtype, offset);
  Tensors host_gradients(device::emulated_device(), set, dtype, offset);
  for (unsigned step = 0; step < (small ? 4u : 14u); ++step) {
    for (std::size_t t = 0; t < set.size(); ++t) {
      auto values =
          normal_values(count_of(set[t]), step == 12 ? 100.0 : 1.0, 100 * step + static_cast<unsigned>(t));
      if (step == 2 && t == 3) values[20000] = kNaN;
      if (step == 3 && t == 1) values = {0, 0, 0};
      real_gradients.set(t, values);
      host_gradients.set(t, values);
    }
    real.update(real_gradients.refs()).check();
    host.update(host_gradients.refs()).check();
    real.request_report().check();
    host.request_report().check();
    const StepReport a = real.report().value();
    const StepReport b = host.report().value();
    const std::string at = std::string(to_string(dtype)) + " step " + std::to_string(step);
    expect(a.skip_step == b.skip_step && a.step == b.step, at + ": skip or step number differ");
    for (std::size_t t = 0; t < set.size(); ++t) {
      const TensorReport& x = a.tensors[t];
      const TensorReport& y = b.tensors[t];
      const std::string where = at + " tensor " + std::to_string(t);
      const bool same_norm = x.raw_norm == y.raw_norm || (!x.finite && !y.finite);
      expect(same_norm,
             where + ": norms differ: " + std::to_string(x.raw_norm) + " " + std::to_string(y.raw_norm));
      expect(x.zeroed == y.zeroed && x.spike == y.spike && x.present == y.present, where + ": flags differ");
      // Powers of the decays may differ in the last digits between host and device, which 1 - power enlarges.
      expect(std::fabs(x.factor - y.factor) <= 1e-11 * std::fabs(y.factor), where + ": factors differ");
      const auto u = real_gradients.values(t);
      const auto v = host_gradients.values(t);
      const double roundoff = dtype == DType::float32 ? 0x1p-23 : dtype == DType::float16 ? 0x1p-10 : 0x1p-7;
      for (std::size_t i = 0; i < u.size(); ++i) {
        const bool same = u[i] == v[i] || (std::isnan(u[i]) && std::isnan(v[i])) ||
                          std::fabs(u[i] - v[i]) <= roundoff * std::fabs(v[i]) + 0x1p-24;
        if (same) continue;  // words only where they are needed: there are millions of elements
        throw Failure{where + " element " + std::to_string(i) + ": " + std::to_string(u[i]) + " " +
                      std::to_string(v[i])};
      }
    }
  }
}

/// Weights after some steps on the device and emulated, with gradients of about `size`. A float of a step may
/// round otherwise where a factor differs in its last digits.
void optimizer_matches(bool small, const Kind& kind, DType parameter, DType gradient, LowPrecision low,
                       std::size_t offset, double size = 1.0) {
  const ParameterSet set = parameters_of(some_sizes(small));
  cuda::DeviceOptions on_device;
  on_device.low_precision = low;
  cuda::DeviceOptions on_host = on_device;
  on_host.emulate = true;
  cuda::Optimizer real(kind.options, stabilize());
  cuda::Optimizer host(kind.options, stabilize());
  real.init(set, on_device).check();
  host.init(set, on_host).check();
  const auto device = device_memory();
  const auto emulated = device::emulated_device();
  Tensors real_weights(device, set, parameter, offset);
  Tensors host_weights(emulated, set, parameter, offset);
  Tensors real_gradients(device, set, gradient, offset);
  Tensors host_gradients(emulated, set, gradient, offset);
  for (std::size_t t = 0; t < set.size(); ++t) {
    const auto values = normal_values(count_of(set[t]), 1.0, 7 + static_cast<unsigned>(t));
    real_weights.set(t, values);
    host_weights.set(t, values);
  }
  const unsigned steps = small ? 2 : 5;
  for (unsigned step = 0; step < steps; ++step) {
    for (std::size_t t = 0; t < set.size(); ++t) {
      const auto values = normal_values(count_of(set[t]), size, 100 * step + static_cast<unsigned>(t));
      real_gradients.set(t, values);
      host_gradients.set(t, values);
    }
    real.step(real_weights.refs(), real_gradients.refs()).check();
    host.step(host_weights.refs(), host_gradients.refs()).check();
  }
  expect(real.counts().launches <= 4 * steps, kind.name + ": more than 4 launches per step");
  expect(real.counts().waits == 0, kind.name + ": a step waited for the device");
  const double roundoff = parameter == DType::float32 ? 0x1p-20 : 0x1p-6;
  std::size_t compared = 0;
  std::size_t apart = 0;
  for (std::size_t t = 0; t < set.size(); ++t) {
    const auto u = real_weights.values(t);
    const auto v = host_weights.values(t);
    for (std::size_t i = 0; i < u.size(); ++i) {
      ++compared;
      if (!(std::fabs(u[i] - v[i]) <= roundoff * std::fmax(1.0, std::fabs(v[i])))) ++apart;
    }
  }
  // A sign (Lion) or a random bit that falls on the other side moves single weights by a whole step.
  expect(static_cast<double>(apart) <= 1e-4 * static_cast<double>(compared),
         kind.name + ": " + std::to_string(apart) + " of " + std::to_string(compared) + " weights differ");
}

struct Trained {
  std::vector<std::byte> weights;
  std::vector<std::byte> state;
};

/// A small model after some steps, each made by `step(optimizer, weights, gradients)`.
template <class Step>
Trained trained_by(bool small, Step step) {
  const ParameterSet set = parameters_of(some_sizes(small));
  cuda::Optimizer optimizer(AdamOptions::adamw(), stabilize());
  optimizer.init(set).check();
  Tensors weights(device_memory(), set, DType::float32);
  Tensors gradients(device_memory(), set, DType::bfloat16);
  for (std::size_t t = 0; t < set.size(); ++t) {
    weights.set(t, normal_values(count_of(set[t]), 1.0, static_cast<unsigned>(t)));
    gradients.set(t, normal_values(count_of(set[t]), 1.0, 50 + static_cast<unsigned>(t)));
  }
  for (int i = 0; i < 5; ++i) step(optimizer, weights, gradients);
  Trained result{{}, optimizer.save().value()};
  for (std::size_t t = 0; t < set.size(); ++t) {
    const auto bytes = weights.bytes(t);
    result.weights.insert(result.weights.end(), bytes.begin(), bytes.end());
  }
  return result;
}

void step_all(cuda::Optimizer& optimizer, Tensors& weights, Tensors& gradients) {
  optimizer.step(weights.refs(), gradients.refs()).check();
}

void step_one_by_one(cuda::Optimizer& optimizer, Tensors& weights, Tensors& gradients) {
  for (std::size_t t = weights.refs().size(); t-- > 0;)
    optimizer.step_one(t, weights.refs()[t], gradients.refs()[t]).check();
}

void steps_repeat_bit_for_bit(bool small) {
  const Trained first = trained_by(small, step_all);
  const Trained second = trained_by(small, step_all);
  expect(first.weights == second.weights && first.state == second.state, "two runs differ");
}

/// Steps of one parameter after the other leave the weights of steps of all, whose number alone they do not
/// count.
void one_by_one_is_all_at_once(bool small) {
  expect(trained_by(small, step_all).weights == trained_by(small, step_one_by_one).weights,
         "one by one, parameters end otherwise than together");
}

class Stream {
 public:
  explicit Stream(const DriverCalls& calls) : calls_(calls) {
    check(calls.cuStreamCreate(&stream_, CU_STREAM_NON_BLOCKING), "cuStreamCreate");
  }
  ~Stream() { calls_.cuStreamDestroy(stream_); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  CUstream get() const { return stream_; }

 private:
  const DriverCalls& calls_;
  CUstream stream_ = nullptr;
};

/// A captured step, replayed, leaves the bits of as many ordinary steps, also after a change of learning
/// rate.
void graph_replays(const DriverCalls& calls, bool small) {
  const ParameterSet set = parameters_of({{}, {33}, {70, 300}});
  const int replays = small ? 10 : 1000;
  std::vector<std::byte> results[2];
  for (const bool graph : {false, true}) {
    const Stream stream(calls);
    cuda::Optimizer optimizer(AdamOptions::adamw(), stabilize());
    optimizer.init(set).check();
    Tensors weights(device_memory(), set, DType::float32);
    Tensors gradients(device_memory(), set, DType::float32);
    for (std::size_t t = 0; t < set.size(); ++t) {
      weights.set(t, normal_values(count_of(set[t]), 1.0, static_cast<unsigned>(t)));
      gradients.set(t, normal_values(count_of(set[t]), 1.0, 50 + static_cast<unsigned>(t)));
    }
    CUgraph recorded = nullptr;
    CUgraphExec runnable = nullptr;
    if (graph) {
      optimizer.prepare(weights.refs(), gradients.refs(), stream.get()).check();
      check(calls.cuStreamSynchronize(stream.get()), "cuStreamSynchronize");
      check(calls.cuStreamBeginCapture(stream.get(), CU_STREAM_CAPTURE_MODE_GLOBAL), "cuStreamBeginCapture");
      optimizer.step(weights.refs(), gradients.refs(), stream.get()).check();
      expect(optimizer.set_lr(0.5, stream.get()).code() == StatusCode::failed_precondition,
             "set_lr is refused while capturing");
      check(calls.cuStreamEndCapture(stream.get(), &recorded), "cuStreamEndCapture");
      optimizer.set_lr(AdamOptions{}.lr, stream.get()).check();
      check(calls.cuGraphInstantiateWithFlags(&runnable, recorded, 0), "cuGraphInstantiateWithFlags");
    }
    for (int step = 0; step < replays; ++step) {
      if (step == replays / 2) optimizer.set_lr(3e-4, stream.get()).check();
      if (graph) {
        check(calls.cuGraphLaunch(runnable, stream.get()), "cuGraphLaunch");
      } else {
        optimizer.step(weights.refs(), gradients.refs(), stream.get()).check();
      }
    }
    auto& result = results[graph ? 1 : 0];
    result = optimizer.save(stream.get()).value();
    for (std::size_t t = 0; t < set.size(); ++t) {
      const auto bytes = weights.bytes(t, stream.get());
      result.insert(result.end(), bytes.begin(), bytes.end());
    }
    if (graph) {
      calls.cuGraphExecDestroy(runnable);
      calls.cuGraphDestroy(recorded);
    }
  }
  expect(results[0] == results[1], "replays and ordinary steps differ");
}

/// Steps are queued behind work that takes a while, and the calls return long before it is done.
void steps_do_not_wait(const DriverCalls& calls) {
  const ParameterSet set = parameters_of({{1000}, {77}});
  const Stream stream(calls);
  cuda::Optimizer optimizer(AdamOptions::adamw(), stabilize());
  optimizer.init(set).check();
  Tensors weights(device_memory(), set, DType::float32);
  Tensors gradients(device_memory(), set, DType::float32);
  Tensors others(device_memory(), set, DType::float32);
  optimizer.step(weights.refs(), gradients.refs(), stream.get()).check();
  check(calls.cuStreamSynchronize(stream.get()), "cuStreamSynchronize");
  const auto sleep = [](void*) { std::this_thread::sleep_for(std::chrono::milliseconds(500)); };
  check(calls.cuLaunchHostFunc(stream.get(), sleep, nullptr), "cuLaunchHostFunc");
  const auto begin = std::chrono::steady_clock::now();
  // Also with gradients that move, settings that change and reports that are asked for.
  for (int step = 0; step < 20; ++step) {
    optimizer.set_lr(1e-3 / (1 + step), stream.get()).check();
    optimizer.step(weights.refs(), (step % 2 ? gradients : others).refs(), stream.get()).check();
    optimizer.request_report(stream.get()).check();
  }
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
  const bool busy = calls.cuStreamQuery(stream.get()) == CUDA_ERROR_NOT_READY;
  expect(busy, "the stream was already done when the calls had returned");
  expect(!optimizer.report_is_ready().value(), "the report was there before its step");
  expect(taken.count() < 0.4,
         "the calls took " + std::to_string(taken.count()) + " s behind 0.5 s of other work");
  expect(optimizer.counts().waits == 0, "the host waited");
  expect(optimizer.report().value().step == 21, "the report is of another step");  // waits
}

void many_tensors(std::size_t count) {
  const ParameterSet set = parameters_of(std::vector<std::vector<std::int64_t>>(count, {64}));
  cuda::Transform transform(stabilize());
  transform.init(set).check();
  Tensors gradients(device_memory(), set, DType::float32);
  for (std::size_t t = 0; t < count; t += count / 10) gradients.set(t, normal_values(64, 1.0, 1));
  transform.update(gradients.refs()).check();
  expect(transform.counts().launches == 3, "more than 3 launches");
  transform.request_report().check();
  const StepReport report = transform.report().value();
  for (std::size_t t = 0; t < count; t += count / 10) {
    const double norm = report.tensors[t].norm();
    expect(std::fabs(norm - 1.0) < 1e-12,
           "tensor " + std::to_string(t) + " has norm " + std::to_string(norm));
  }
}

class Checks {
 public:
  void run(const std::string& name, const std::function<void()>& body) {
    std::string failure;
    try {
      body();
    } catch (const Failure& failed) {
      failure = failed.what;
    } catch (const std::exception& error) {
      failure = error.what();
    }
    ++count_;
    if (!failure.empty()) ++failed_;
    std::printf("%-6s %s%s%s\n", failure.empty() ? "ok" : "FAILED", name.c_str(), failure.empty() ? "" : ": ",
                failure.c_str());
    std::fflush(stdout);
  }
  int finish(const char* device) const {
    std::printf("device_check: %d of %d checks passed on %s\n", count_ - failed_, count_, device);
    return failed_ == 0 ? 0 : 1;
  }

 private:
  int count_ = 0;
  int failed_ = 0;
};

int run_all(bool small) {
  if (const Status status = cuda_available(); !status.ok()) {
    std::printf("device_check: SKIPPED, nothing was checked: %s\n", status.message().c_str());
    return kSkipped;
  }
  const DriverCalls calls;
  char name[256] = "";
  CUdevice device = 0;
  CUcontext context = nullptr;
  check(calls.cuInit(0), "cuInit");
  check(calls.cuDeviceGet(&device, 0), "cuDeviceGet");
  check(calls.cuDeviceGetName(name, sizeof name, device), "cuDeviceGetName");
  check(calls.cuDevicePrimaryCtxRetain(&context, device), "cuDevicePrimaryCtxRetain");
  check(calls.cuCtxSetCurrent(context), "cuCtxSetCurrent");

  Checks checks;
  for (const DType dtype : {DType::float32, DType::float16, DType::bfloat16}) {
    const std::string type(to_string(dtype));
    checks.run("transform " + type,
               [&] { transform_matches(small, dtype, {}, NonFinitePolicy::skip_tensor, 0); });
    checks.run("transform " + type + " unaligned",
               [&] { transform_matches(small, dtype, {}, NonFinitePolicy::skip_tensor, 1); });
  }
  checks.run("transform robust", [&] {
    transform_matches(small, DType::float32, StabilizerOptions::robust(), NonFinitePolicy::skip_tensor, 0);
  });
  checks.run("transform skip_step",
             [&] { transform_matches(small, DType::float32, {}, NonFinitePolicy::skip_step, 0); });
  checks.run("transform pass_through",
             [&] { transform_matches(small, DType::float32, {}, NonFinitePolicy::pass_through, 3); });
  for (const Kind& kind : kinds_with_early_resets()) {
    checks.run(kind.name + " float32", [&] {
      optimizer_matches(small, kind, DType::float32, DType::float32, LowPrecision::master_copy, 0);
    });
    checks.run(kind.name + " bfloat16 unaligned", [&] {
      optimizer_matches(small, kind, DType::bfloat16, DType::bfloat16, LowPrecision::master_copy, 1);
    });
    checks.run(kind.name + " bfloat16 stochastic", [&] {
      optimizer_matches(small, kind, DType::bfloat16, DType::float16, LowPrecision::stochastic_rounding, 0);
    });
    // Factors that float32 has not.
    for (const double size : {1e-42, 1e38}) {
      checks.run(kind.name + " float32, gradients of " + (size < 1.0 ? "1e-42" : "1e38"), [&] {
        optimizer_matches(small, kind, DType::float32, DType::float32, LowPrecision::master_copy, 0, size);
      });
    }
    checks.run(kind.name + " bfloat16, gradients of 1e-39", [&] {
      optimizer_matches(small, kind, DType::bfloat16, DType::bfloat16, LowPrecision::stochastic_rounding, 0,
                        1e-39);
    });
  }
  checks.run("two runs are the same bits", [&] { steps_repeat_bit_for_bit(small); });
  checks.run("one by one is all at once", [&] { one_by_one_is_all_at_once(small); });
  checks.run("a captured graph replays", [&] { graph_replays(calls, small); });
  checks.run("10,000 tensors in 3 launches", [] { many_tensors(10'000); });
  if (!small) {
    checks.run("100,000 tensors in 3 launches", [] { many_tensors(100'000); });
    checks.run("no step waits for the device", [&] { steps_do_not_wait(calls); });
  }
  return checks.finish(name);
}

}  // namespace
}  // namespace gradstab::testing

int main(int argc, char** argv) {
  try {
    return gradstab::testing::run_all(argc > 1 && std::strcmp(argv[1], "--small") == 0);
  } catch (const std::exception& error) {
    std::printf("device_check: FAILED: %s\n", error.what());
    return 1;
  }
}
