// What stabilize does to the numbers of a gradient.
#include <cmath>

#include "gradstab/backend.hpp"
#include "gradstab/transforms.hpp"
#include "property/generators.hpp"
#include "property/property.hpp"
#include "support/saved_moments.hpp"

namespace gradstab {
namespace {

using testing::Gradients;
using testing::Values;

DType any_dtype() {
  return *rc::gen::element(DType::float32, DType::float64, DType::float16, DType::bfloat16);
}

/// The names of the backends that run here.
std::vector<std::string> backend_names() {
  std::vector<std::string> names;
  for (const Backend* backend : backends()) {
    if (backend->supported()) names.emplace_back(backend->name());
  }
  return names;
}

/// Norms that a type can hold with room for its elements' squares and factors.
double range_of(DType dtype) {
  switch (dtype) {
    case DType::float16:
      return 1e3;
    case DType::float64:
      return 1e290;
    case DType::float32:
    case DType::bfloat16:
      return 1e30;
  }
  return 1.0;
}

struct Alignment {
  long double cosine_deficit;  // 1 - cos of the angle
  double norm;
};

Alignment compare(const Values& before, const Values& after) {
  const long double norm_before = testing::norm_of(before);
  const long double norm_after = testing::norm_of(after);
  // |a/|a| - b/|b||^2 / 2 = 1 - cos, without the cancellation of 1 - cos.
  long double distance = 0.0L;
  for (std::size_t i = 0; i < before.size(); ++i) {
    const long double difference = before[i] / norm_before - after[i] / norm_after;
    distance += difference * difference;
  }
  return {0.5L * distance, static_cast<double>(norm_after)};
}

GRADSTAB_PROPERTY(TransformPropertyTest, TheDirectionIsKeptAndTheNormIsTheReportedOne) {
  const DType dtype = any_dtype();
  const StabilizerOptions options = *testing::options();
  const auto sequence = *testing::norm_sequence(options, 30, range_of(dtype));
  const auto count = *rc::gen::inRange<std::size_t>(1, 200);
  std::mt19937_64 random = testing::random_engine();
  const ParameterSet parameters = testing::parameter_set_of_sizes({{static_cast<std::int64_t>(count)}});
  const std::string backend = *rc::gen::elementOf(backend_names());
  GradientTransform transform = stabilize(options);
  RC_ASSERT(transform.init(parameters, {.backend = backend}).ok());
  Gradients gradients(parameters, dtype);
  const auto n = static_cast<double>(count);
  for (const double norm : sequence.norms) {
    gradients.set(0, testing::vector_of_norm(random, count, norm));
    const Values before = gradients.values(0);
    const auto report = transform.update(gradients.refs());
    RC_ASSERT(report.ok());
    const Values after = gradients.values(0);
    const double raw = testing::norm_of(before);
    if (raw == 0.0) {
      RC_ASSERT(after == before);
      continue;
    }
    // The raw norm: a sum of n squares in double, in any order. The SIMD kernels add the squares of 16-bit
    // types in pairs in float first, 2^-24 relative, which the root halves.
    const double pairs = backend != "reference" && size_of(dtype) == 2 ? 0x1p-25 : 0.0;
    const double measured = (0.5 * n + 3.0) * 0x1p-53 + pairs;
    RC_ASSERT(std::fabs(report->tensors[0].raw_norm - raw) <= measured * raw);
    // Each element is off by at most u relative or half the smallest number absolute; as vectors that is
    // u*rho + sqrt(n)*tiny/2, the same as a fraction of rho, and its square over 2 in the cosine.
    const double rho = report->tensors[0].norm();
    const double absolute = 0.5 * std::sqrt(n) * testing::smallest_positive(dtype);
    const double error = (testing::unit_roundoff(dtype) + measured + 5.0 * 0x1p-53) * rho + absolute;
    const Alignment alignment = compare(before, after);
    RC_ASSERT(std::fabs(alignment.norm - rho) <= error);
    if (error < 0.1 * rho) {
      const long double relative = error / rho;
      // Normalising both vectors in extended precision adds n roundings of 2^-64.
      RC_ASSERT(alignment.cosine_deficit <= 2.0L * relative * relative + (n + 4.0L) * 0x1p-106L);
    }
  }
}

/// Outputs of a history of random gradients, each element multiplied by 2^exponent.
std::vector<std::vector<std::byte>> outputs(const std::string& backend, DType dtype, std::size_t count,
                                            const std::vector<Values>& history, int exponent) {
  const ParameterSet parameters = testing::parameter_set_of_sizes({{static_cast<std::int64_t>(count)}});
  GradientTransform transform = stabilize();
  transform.init(parameters, {.backend = backend}).check();
  Gradients gradients(parameters, dtype);
  std::vector<std::vector<std::byte>> result;
  for (Values values : history) {
    for (double& value : values) value = std::ldexp(value, exponent);
    gradients.set(0, values);
    transform.update(gradients.refs()).status().check();
    result.push_back(gradients.bytes(0));
  }
  return result;
}

/// Gradients with elements of full precision in [2^-10, 2^11): a power of two can be taken far before a bit
/// is lost.
std::vector<Values> scalable_history(std::mt19937_64& random, DType dtype, std::size_t count,
                                     std::size_t steps) {
  std::uniform_real_distribution<double> uniform(1.0, 2.0);
  std::vector<Values> history(steps, Values(count));
  for (Values& values : history) {
    for (double& value : values) {
      const double magnitude = std::ldexp(uniform(random), static_cast<int>(random() % 21) - 10);
      value = testing::rounded(random() % 2 ? magnitude : -magnitude, dtype);
    }
  }
  return history;
}

GRADSTAB_PROPERTY(TransformPropertyTest, ScalingFloatGradientsByAPowerOfTwoChangesNoBit) {
  // 2^-125 .. 2^115: all elements stay normal float32 numbers, their squares do not.
  const int exponent = *rc::gen::element(-115, -100, -64, -1, 1, 50, 100, 115);
  const std::string backend = *rc::gen::elementOf(backend_names());
  const auto count = *rc::gen::inRange<std::size_t>(1, 300);
  std::mt19937_64 random = testing::random_engine();
  const auto history = scalable_history(random, DType::float32, count, 15);
  RC_ASSERT(outputs(backend, DType::float32, count, history, exponent) ==
            outputs(backend, DType::float32, count, history, 0));
}

GRADSTAB_PROPERTY(TransformPropertyTest, ScalingDoubleGradientsByAPowerOfTwoChangesNoBit) {
  // Up to norms whose squares leave the range of a double by far.
  const int exponent = *rc::gen::element(-1000, -900, -520, -450, -300, -1, 1, 300, 450, 520, 900, 1000);
  const std::string backend = *rc::gen::elementOf(backend_names());
  const auto count = *rc::gen::inRange<std::size_t>(1, 300);
  std::mt19937_64 random = testing::random_engine();
  const auto history = scalable_history(random, DType::float64, count, 15);
  RC_ASSERT(outputs(backend, DType::float64, count, history, exponent) ==
            outputs(backend, DType::float64, count, history, 0));
}

GRADSTAB_PROPERTY(TransformPropertyTest, ScalingDoubleGradientsOfManyBlocksByAPowerOfTwoChangesNoBit) {
  const int exponent = *rc::gen::element(-900, -520, 520, 900);
  const std::string backend = *rc::gen::elementOf(backend_names());
  std::mt19937_64 random = testing::random_engine();
  if (random() % 10 != 0) return;  // 140,000 elements: one trial in ten is enough
  const auto history = scalable_history(random, DType::float64, 140000, 2);
  RC_ASSERT(outputs(backend, DType::float64, 140000, history, exponent) ==
            outputs(backend, DType::float64, 140000, history, 0));
}

GRADSTAB_PROPERTY(TransformPropertyTest, ChainsAreAssociative) {
  const DType dtype = any_dtype();
  const StabilizerOptions options = *testing::options();
  const auto sequence = *testing::norm_sequence(options, 30, range_of(dtype));
  std::mt19937_64 random = testing::random_engine();
  const auto first = [] { return record_norms(); };
  const auto second = [] { return clip_by_global_norm(0.5); };
  const auto third = [&] { return stabilize(options); };
  const ParameterSet parameters = testing::parameter_set_of_sizes({{7}, {33}});
  GradientTransform left = chain(chain(first(), second()), third());
  GradientTransform right = chain(first(), chain(second(), third()));
  GradientTransform flat = chain(first(), second(), third());
  for (GradientTransform* transform : {&left, &right, &flat}) RC_ASSERT(transform->init(parameters).ok());
  RC_ASSERT(left.name() == right.name());
  Gradients of_left(parameters, dtype);
  Gradients of_right(parameters, dtype);
  Gradients of_flat(parameters, dtype);
  for (const double norm : sequence.norms) {
    const std::vector<Values> values = {testing::vector_of_norm(random, 7, norm),
                                        testing::vector_of_norm(random, 33, norm)};
    of_left.set_all(values);
    of_right.set_all(values);
    of_flat.set_all(values);
    RC_ASSERT(left.update(of_left.refs()).ok());
    RC_ASSERT(right.update(of_right.refs()).ok());
    RC_ASSERT(flat.update(of_flat.refs()).ok());
    for (std::size_t t = 0; t < 2; ++t) {
      RC_ASSERT(of_left.bytes(t) == of_right.bytes(t));
      RC_ASSERT(of_left.bytes(t) == of_flat.bytes(t));
    }
  }
  RC_ASSERT(*left.save() == *right.save());
  RC_ASSERT(*left.save() == *flat.save());
}

GRADSTAB_PROPERTY(TransformPropertyTest, ZeroGradientsAreUnchangedAndAbsentOnesLeaveTheStateAlone) {
  const DType dtype = any_dtype();
  const StabilizerOptions options = *testing::options();
  std::mt19937_64 random = testing::random_engine();
  const ParameterSet parameters = testing::parameter_set_of_sizes({{5}, {9}});
  GradientTransform transform = stabilize(options);
  GradientTransform without_pauses = stabilize(options);
  RC_ASSERT(transform.init(parameters).ok());
  RC_ASSERT(without_pauses.init(parameters).ok());
  Gradients gradients(parameters, dtype);
  Gradients expected(parameters, dtype);
  std::int64_t zeros = 0;
  for (int step = 0; step < 20; ++step) {
    const std::vector<Values> values = {testing::vector_of_norm(random, 5, 1.0 + step % 4),
                                        testing::vector_of_norm(random, 9, 2.0)};
    gradients.set_all(values);
    switch (random() % 3) {
      case 0:
        gradients.set(0, Values(5));
        ++zeros;
        break;
      case 1:
        gradients.set_absent(0);
        break;
      default:
        expected.set_all(values);
        expected.set_absent(1);
        RC_ASSERT(without_pauses.update(expected.refs()).ok());
    }
    const bool acts = gradients.refs()[0].data != nullptr && gradients.values(0) != Values(5);
    const auto before = gradients.bytes(0);
    RC_ASSERT(transform.update(gradients.refs()).ok());
    RC_ASSERT(gradients.bytes(0) == (acts ? expected.bytes(0) : before));
  }
  NormMoments moments = testing::saved_moments(transform)[0];
  RC_ASSERT(moments.zeros == zeros);
  moments.zeros = 0;
  RC_ASSERT((moments == testing::saved_moments(without_pauses)[0]));
}

}  // namespace
}  // namespace gradstab
