// An engine that is built with fast math, and lets the library watch for NaN and Inf. It looks at bits
// itself: its own compiler assumes that there is no NaN.
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <gradstab/gradstab.hpp>
#include <string>
#include <vector>

#if !defined(__FAST_MATH__)
#error "this engine is to be compiled with fast math"
#endif

namespace {

constexpr std::uint32_t kNan = 0x7fc00000, kInfinity = 0x7f800000, kMinusInfinity = 0xff800000;
constexpr std::size_t kSize = 100;

float of_bits(std::uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

bool all_finite(const std::vector<float>& values) {
  for (const float& value : values) {
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    if ((bits & kInfinity) == kInfinity) return false;
  }
  return true;
}

gradstab::TensorRef ref(std::vector<float>& values, const std::vector<std::int64_t>& sizes) {
  return {.data = values.data(), .sizes = sizes, .strides = {}};
}

/// What is wrong with a step of `optimizer` whose second gradient holds a value of these bits; empty if
/// nothing.
std::string wrong_with(gradstab::Optimizer optimizer, gradstab::NonFinitePolicy policy, std::uint32_t bits) {
  const std::vector<std::int64_t> sizes = {static_cast<std::int64_t>(kSize)};
  const std::vector<gradstab::Parameter> names = {{"first", sizes}, {"second", sizes}};
  optimizer.init(gradstab::ParameterSet::create(names).value(), {.run = {.nonfinite = policy}}).check();
  std::vector<float> first(kSize, 1.0f), second(kSize, 1.0f), gradient(kSize, 0.5f), bad(kSize, 0.5f);
  bad[37] = of_bits(bits);
  const std::vector<gradstab::TensorRef> parameters = {ref(first, sizes), ref(second, sizes)};
  const std::vector<gradstab::TensorRef> gradients = {ref(gradient, sizes), ref(bad, sizes)};
  const auto report = optimizer.step(parameters, gradients);
  if (!all_finite(first) || !all_finite(second)) return "a parameter is not finite";
  if (policy == gradstab::NonFinitePolicy::raise) return report ? "no error" : std::string();
  if (!report) return "an error: " + std::string(report.status().message());
  if (report->nonfinite != 1) return "nonfinite is " + std::to_string(report->nonfinite);
  if (report->skip_step != (policy == gradstab::NonFinitePolicy::skip_step)) return "skip_step is wrong";
  return {};
}

}  // namespace

int main() {
  using gradstab::NonFinitePolicy;
  for (const NonFinitePolicy policy :
       {NonFinitePolicy::skip_tensor, NonFinitePolicy::skip_step, NonFinitePolicy::raise}) {
    for (const std::uint32_t bits : {kNan, kInfinity, kMinusInfinity}) {
      for (const char* transform : {"stabilize", "clip_by_global_norm(max_norm=1)", "zclip+stabilize"}) {
        const std::string wrong =
            wrong_with(gradstab::Optimizer(gradstab::AdamOptions::adamw(),
                                           gradstab::transform_from_text(transform).value()),
                       policy, bits);
        if (wrong.empty()) continue;
        std::printf("%s, policy %d, bits %08x: %s\n", transform, static_cast<int>(policy),
                    static_cast<unsigned>(bits), wrong.c_str());
        return 1;
      }
    }
  }
  std::printf("every policy saw NaN and Inf\n");
}
