#include "support.hpp"

namespace gradstab::testing {
namespace {

constexpr std::int64_t kWeightSizes[] = {2, 3};
constexpr std::int64_t kBiasSizes[] = {2};

std::string described(gradstab_status status, const gradstab_transform* transform) {
  return std::string(gradstab_status_name(status)) + " \"" + gradstab_last_error(transform) + "\"";
}

Handle made(gradstab_status status, gradstab_transform* transform) {
  EXPECT_TRUE(accepted(status));
  return Handle(transform);
}

}  // namespace

const gradstab_parameter kParameters[2] = {{"weight", 2, kWeightSizes}, {"bias", 1, kBiasSizes}};

Handle make_stabilizer() {
  gradstab_transform* transform = nullptr;
  const gradstab_status status = gradstab_stabilize(nullptr, nullptr, &transform);
  return made(status, transform);
}

Handle make_clipper(double max_norm) {
  gradstab_transform* transform = nullptr;
  const gradstab_status status = gradstab_clip_by_global_norm(max_norm, 0, &transform);
  return made(status, transform);
}

Handle make_recorder() {
  gradstab_transform* transform = nullptr;
  const gradstab_status status = gradstab_record_norms(4.0, nullptr, &transform);
  return made(status, transform);
}

Handle initialised(gradstab_nonfinite_policy policy) {
  Handle transform = make_stabilizer();
  gradstab_run_options options = {};
  options.struct_size = sizeof options;
  options.nonfinite = policy;
  EXPECT_TRUE(accepted(gradstab_init(transform.get(), kParameters, 2, &options), transform.get()));
  return transform;
}

Pair::Pair() {
  tensors[0].data = weight.data();
  tensors[1].data = bias.data();
}

void train(gradstab_transform* transform, int steps) {
  for (int step = 0; step < steps; ++step) {
    const Pair gradients;
    EXPECT_TRUE(accepted(gradstab_update_pointers(transform, gradients.pointers, 2, GRADSTAB_FLOAT32,
                                                  GRADSTAB_NO_STEP, nullptr),
                         transform));
  }
}

std::vector<unsigned char> saved(const gradstab_transform* transform) {
  void* bytes = nullptr;
  std::size_t size = 0;
  EXPECT_TRUE(accepted(gradstab_save(transform, &bytes, &size), transform));
  const auto* begin = static_cast<const unsigned char*>(bytes);
  std::vector<unsigned char> copy(begin, begin + size);
  gradstab_free(bytes);
  return copy;
}

std::vector<unsigned char> flipped(std::vector<unsigned char> bytes, std::size_t at, int bit) {
  bytes.at(at) = static_cast<unsigned char>(bytes.at(at) ^ (1u << bit));
  return bytes;
}

gradstab_step_report empty_report() {
  gradstab_step_report report = {};
  report.struct_size = sizeof report;
  return report;
}

::testing::AssertionResult refused(gradstab_status got, gradstab_status expected,
                                   const gradstab_transform* transform, const std::string& message) {
  if (got == expected && gradstab_last_error(transform) == message) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "got " << described(got, transform) << ", expected "
                                       << gradstab_status_name(expected) << " \"" << message << '"';
}

::testing::AssertionResult accepted(gradstab_status got, const gradstab_transform* transform) {
  if (got == GRADSTAB_OK && *gradstab_last_error(transform) == '\0') return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "got " << described(got, transform);
}

}  // namespace gradstab::testing
