// An engine outside this project: two steps over two tensors, with an executor and an error of its own.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <gradstab/gradstab.hpp>
#include <limits>
#include <memory>
#include <vector>

namespace {

/// Derives from a class of the library and counts what the library asks of it.
class CountingExecutor final : public gradstab::Executor {
 public:
  unsigned concurrency() const noexcept override { return 2; }
  void run(std::size_t count, Task task, void* context) noexcept override {
    for (std::size_t i = 0; i < count; ++i) task(context, i);
    tasks += count;
  }
  std::size_t tasks = 0;
};

double norm(const std::vector<float>& values) {
  double sum = 0.0;
  for (const float value : values) sum += double(value) * double(value);
  return std::sqrt(sum);
}

/// Whether setting and step, wrong in turn, come back as errors that say so.
bool errors_arrive() {
  gradstab::GradientTransform refused = gradstab::clip_by_global_norm(-1.0);
  const gradstab::Status status = refused.init(gradstab::ParameterSet());
  try {
    gradstab::stabilize().update({}).value();
  } catch (const gradstab::Error& error) {
    return status.code() == gradstab::StatusCode::invalid_argument &&
           error.code() == gradstab::StatusCode::failed_precondition;
  }
  return false;
}

}  // namespace

int main() {
  const std::vector<gradstab::Parameter> parameters = {{"weight", {3, 1000}}, {"bias", {7}}};
  const auto executor = std::make_shared<CountingExecutor>();
  gradstab::GradientTransform transform = gradstab::chain(gradstab::record_norms(), gradstab::stabilize());
  transform.init(gradstab::ParameterSet::create(parameters).value(), {.executor = executor}).check();

  // Gradients of constant direction, in the second step twice as long. Without bias at the start the first
  // stabilized norm is 1; the second is (0.6 * 0.4 + 0.4 * 2) / 0.64 over the root of (0.999 + 4) / 1.999.
  const double second = (1.04 / 0.64) / std::sqrt(4.999 / 1.999);
  for (const double expected : {1.0, second}) {
    const float length = expected == 1.0 ? 0.5f : 1.0f;
    std::vector<float> weight(3000, length), bias(7, -length);
    const std::vector<gradstab::TensorRef> gradients = {
        {.data = weight.data(), .sizes = parameters[0].sizes, .strides = {}},
        {.data = bias.data(), .sizes = parameters[1].sizes, .strides = {}}};
    const gradstab::StepReport report = transform.update(gradients).value();
    for (const double after :
         {norm(weight), norm(bias), report.tensors[0].norm(), report.tensors[1].norm()}) {
      // Each element is rounded to float once, so the norm is off by at most half an ulp of float.
      if (std::fabs(after - expected) <= expected * std::numeric_limits<float>::epsilon() / 2) continue;
      std::printf("stabilized norm %.9g, expected %.9g\n", after, expected);
      return 1;
    }
  }
  if (executor->tasks == 0 || !errors_arrive()) {
    std::printf("%zu tasks, errors %d\n", executor->tasks, int(errors_arrive()));
    return 1;
  }
  std::printf("stabilized by gradstab %s on %s\n", GRADSTAB_VERSION,
              std::string(transform.backend_name()).c_str());
}
