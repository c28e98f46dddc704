// The recorder of norms behind the C interface.
#include "gradstab/recorder.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "errors.hpp"
#include "gradstab/norm_recorder.hpp"
#include "handle.hpp"
#include "parameters.hpp"
#include "settings.hpp"
#include "structs.hpp"
#include "tensors.hpp"

using namespace gradstab;

struct gradstab_recorder : c::Handle {
  static constexpr const char* kNoun = "recorder";
  static constexpr const char* kExpected = "a recorder";

  explicit gradstab_recorder(NormRecorder opened) : object(std::move(opened)) {}

  NormRecorder object;
  std::vector<double> norms;  ///< of the current step
};

namespace {

std::optional<int64_t> number_of(int64_t step) noexcept {
  return step == GRADSTAB_NO_STEP ? std::nullopt : std::optional(step);
}

std::optional<double> loss_of(const double* loss) noexcept {
  return loss == nullptr ? std::nullopt : std::optional(*loss);
}

Result<NormRecorderOptions> read_recorder_options(const gradstab_recorder_options* options) {
  gradstab_recorder_options given{};
  if (options != nullptr) GRADSTAB_RETURN_IF_ERROR(c::read_struct(options, given));
  auto run = c::read_run_options(given.run);
  if (!run) return run.status();
  NormRecorderOptions result{.facts = {},
                             .every = given.every == 0 ? 1 : given.every,
                             .backend = std::move(run->backend),
                             .executor = std::move(run->executor)};
  if (given.facts == nullptr && given.fact_count > 0)
    return c::null_argument("facts", "an array of ", given.fact_count);
  for (size_t i = 0; i < given.fact_count; ++i) {
    const auto& [key, value] = given.facts[i];
    if (key == nullptr) return c::invalid("key of fact ", i, " is NULL, expected a text");
    if (value == nullptr) return c::invalid("value of fact '", key, "' is NULL, expected a text");
    result.facts.push_back({key, value});
  }
  return result;
}

/// Records `count` gradients, the i-th of which is tensor(i).
gradstab_status record(gradstab_recorder* recorder, const char* name, const void* array, size_t count,
                       int64_t step, const double* loss, auto tensor) noexcept {
  return c::run_on(recorder, [&]() -> Status {
    const ParameterSet& parameters = recorder->object.parameters();
    if (count != parameters.size()) {
      return c::error(StatusCode::shape_mismatch, "got ", count, " gradients for ", parameters.size(),
                      " registered parameters");
    }
    if (array == nullptr && count > 0) return c::null_argument(name, "an array of ", count);
    recorder->gradients.resize(count);
    for (size_t i = 0; i < count; ++i) {
      const auto read = c::read_tensor(tensor(i), parameters[i]);
      if (!read) return read.status();
      recorder->gradients[i] = *read;
    }
    return recorder->object.record(recorder->gradients, number_of(step), loss_of(loss));
  });
}

}  // namespace

const char* gradstab_recorder_last_error(const gradstab_recorder* recorder) {
  return c::last_error(recorder);
}

gradstab_status gradstab_recorder_open(const char* path, const gradstab_parameter* parameters, size_t count,
                                       const gradstab_recorder_options* options,
                                       gradstab_recorder** recorder) {
  if (recorder != nullptr) *recorder = nullptr;
  return c::run([&]() -> Status {
    if (recorder == nullptr) return c::null_argument("recorder", "where to put the new one");
    if (path == nullptr) return c::null_argument("path", "the name of a file");
    auto set = c::read_parameters(parameters, count);
    if (!set) return set.status();
    auto read = read_recorder_options(options);
    if (!read) return read.status();
    auto opened = NormRecorder::open(path, *std::move(set), *std::move(read));
    if (!opened) return opened.status();
    *recorder = std::make_unique<gradstab_recorder>(*std::move(opened)).release();
    return {};
  });
}

gradstab_status gradstab_recorder_record(gradstab_recorder* recorder, const gradstab_tensor* tensors,
                                         size_t count, int64_t step, const double* loss) {
  return record(recorder, "tensors", tensors, count, step, loss,
                [&](size_t i) -> const gradstab_tensor& { return tensors[i]; });
}

gradstab_status gradstab_recorder_record_pointers(gradstab_recorder* recorder, void* const* data,
                                                  size_t count, gradstab_dtype dtype, int64_t step,
                                                  const double* loss) {
  return record(recorder, "data", data, count, step, loss, [&](size_t i) {
    gradstab_tensor tensor{};
    tensor.data = data[i];
    tensor.dtype = dtype;
    return tensor;
  });
}

gradstab_status gradstab_recorder_record_report(gradstab_recorder* recorder,
                                                const gradstab_step_report* report, int64_t step,
                                                const double* loss) {
  return c::run_on(recorder, [&]() -> Status {
    if (report == nullptr) return c::null_argument("report", "the report of a step");
    gradstab_step_report given{};
    GRADSTAB_RETURN_IF_ERROR(c::read_struct(report, given));
    if (given.tensors == nullptr && given.tensor_count > 0)
      return c::null_argument("tensors of the report", "an array of ", given.tensor_count);
    recorder->norms.resize(given.tensor_count);
    std::transform(given.tensors, given.tensors + given.tensor_count, recorder->norms.begin(),
                   [](const gradstab_tensor_report& tensor) {
                     return tensor.present != 0 ? tensor.raw_norm : kNoGradient;
                   });
    return recorder->object.record_norms(recorder->norms, number_of(step), loss_of(loss));
  });
}

gradstab_status gradstab_recorder_rebind(gradstab_recorder* recorder, const gradstab_parameter* parameters,
                                         size_t count) {
  return c::run_on(recorder, [&]() -> Status {
    auto set = c::read_parameters(parameters, count);
    if (!set) return set.status();
    return recorder->object.set_parameters(*std::move(set));
  });
}

gradstab_status gradstab_recorder_close(gradstab_recorder* recorder) {
  return c::run_on(recorder, [&]() -> Status { return recorder->object.close(); });
}

void gradstab_recorder_destroy(gradstab_recorder* recorder) {
  delete recorder;
}
